"""Numbers of figures: six digits, whatever their size."""

import numpy as np
import pytest

from mlipbench_suites.drawing import rounded


def test_six_digits():
    assert rounded(np.array([1234567.0, -0.00123456789, 0.0])) == pytest.approx([1234570.0, -0.00123457, 0.0])


@pytest.mark.filterwarnings("error")
def test_numbers_of_any_size_stay_numbers():
    """The smallest that a double holds is zero in a figure, not NaN: 10^323 is no double."""
    found = rounded(np.array([5e-324, 1e-300, 1.23456789e-200, 1.7e308]))
    assert found[:2] == pytest.approx([0.0, 0.0], abs=1e-290)
    assert found[2:] == pytest.approx([1.23457e-200, 1.7e308], rel=1e-12)


def test_what_is_no_number_is_left_as_it_is():
    assert np.isnan(rounded(np.array([np.nan]))).all()
