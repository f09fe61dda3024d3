"""Criteria of the suite `density`, and the state that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from mlipbench.api import Criterion, Evidence, IntendedUse

DENSITY_LIMIT = 2.0  # %
LARGEST_STDERR = 0.5  # %

CRITERIA = (
    Criterion(
        name="density_error",
        compare="abs<",
        limit=DENSITY_LIMIT,
        unit="%",
        level="at_target",
        item=8,
        needs=(
            Evidence("length_ps", 50, "ps"),
            Evidence("precision", 1 / LARGEST_STDERR, "/%"),
        ),
        needs_property="stress",
        source="deployment checklist, item 8: density from NPT within 2 %; 50 ps after the equilibration and "
        "a standard error of the mean of at most 0.5 % from the validation suite",
    ),
    Criterion(
        name="failures",
        compare="==",
        limit=0,
        unit="1",
        level="at_target",
        item=8,
        needs=(Evidence("length_ps", 50, "ps"),),
        needs_property="stress",
        source="validation suite: a cell that collapses or evaporates fails",
    ),
    Criterion(
        name="stress_error",
        compare="<",
        limit=1.0,
        unit="%",
        level="required",
        item=8,
        needs_property="stress",
        source="validation suite: the stress is -dE/dV before a pressure is believed; 1 % is far above what "
        "differences in single precision lose",
    ),
    Criterion(
        name="bulk_modulus_error",
        compare="abs<",
        limit=20.0,
        unit="%",
        level="advisory",
        source="validation suite: consistency of the fluctuations with the equation of state",
    ),
    Criterion(
        name="conserved_drift",
        compare="abs<",
        limit=1.0,
        unit="meV/atom/ps",
        level="advisory",
        source="effective energy of stochastic cell rescaling: what the time step and the moves of the cell "
        "violate",
    ),
)


@dataclass(frozen=True)
class Asked:
    """The state that was asked for."""

    temperature_K: float
    pressure_bar: float
    use: IntendedUse

    @property
    def conditions(self) -> dict[str, float | str]:
        """Of every measurement."""
        return {"temperature_K": self.temperature_K, "pressure_bar": self.pressure_bar}
