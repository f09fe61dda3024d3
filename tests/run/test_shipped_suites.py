"""The suite files that come along are whole: each can be planned with all that it names."""

import pytest

from mlipbench.core.errors import PlanError
from mlipbench.core.shipped import suite_files
from mlipbench.run.planning import read_plan

FETCHED = "mlipbench references fetch"  # what a user is told whose public set is not there yet


@pytest.mark.parametrize("name", suite_files())
def test_every_suite_that_ships_can_be_planned(name):
    """A parameter misspelt, a reference that is gone or of another kind, a potential without its file."""
    try:
        plan = read_plan(suite_files()[name], None)
    except PlanError as error:
        problems = str(error).splitlines()
        assert name == "water", problems
        assert all(FETCHED in problem for problem in problems), problems
    else:
        assert plan.suites
