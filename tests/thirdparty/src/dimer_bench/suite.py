"""Distance of the minimum of a dimer's energy curve."""

import numpy as np
from pydantic import PositiveFloat

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Figure,
    Inputs,
    Measurement,
    Outcome,
    Panel,
    Series,
    Structure,
    Suite,
    SuiteParams,
)


class Dimer(Suite):
    """Where the energy of two atoms is lowest."""

    name, version, title = "dimer", 1, "Dimer curve"
    method = "The energy of two atoms on a grid of distances; the minimum by a parabola through three points."
    needs = frozenset({"energy"})
    criteria = (
        Criterion(
            name="distance_error", compare="abs<", limit=0.02, unit="A", source="the author of dimer-bench"
        ),
    )

    class Params(SuiteParams):
        """Parameters of the scan."""

        atomic_number: int = 18
        expected_A: PositiveFloat = 3.0

    def structures(self, params: Params, inputs: Inputs) -> list[Structure]:
        return [self._pair(params, r) for r in self._grid()]

    @staticmethod
    def _grid() -> np.ndarray:
        return np.linspace(2.2, 3.9, 86)

    @staticmethod
    def _pair(params: Params, r: float) -> Structure:
        return Structure(
            numbers=np.full(2, params.atomic_number),
            positions=np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]]),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
            masses=np.full(2, 39.95),
        )

    def produce(self, params: Params, context: Context) -> None:
        answers = context.evaluate(self.structures(params, context), ["energy"])
        context.save("energy", np.array([a.energy for a in answers]))

    def measure(self, params: Params, data: Data) -> Outcome:
        r, e = self._grid(), data.array("energy")
        k = int(np.argmin(e[1:-1])) + 1
        a, b, _ = np.polyfit(r[k - 1 : k + 2], e[k - 1 : k + 2], 2)
        error = float(-b / (2 * a)) - params.expected_A
        return Outcome(
            [
                Measurement(
                    name="distance_error", value=error, unit="A", stderr=0.0, exact=True, method="parabola"
                )
            ],
            figures=[
                Figure(
                    id="curve",
                    caption="Energy against distance.",
                    alt=f"The minimum lies {error:+.3f} A from the expected distance.",
                    panels=[Panel(xlabel="r (A)", ylabel="E (eV)", series=[Series(kind="line", x=r, y=e)])],
                )
            ],
        )
