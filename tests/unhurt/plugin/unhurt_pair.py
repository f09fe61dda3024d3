"""A suite of milliseconds that leaves every kind of file: trajectories, marks, arrays, evaluations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import PositiveFloat

from mlipbench.api import (
    NVE,
    Context,
    Criterion,
    Data,
    Figure,
    Inputs,
    Langevin,
    MaxwellBoltzmann,
    Measurement,
    Outcome,
    Panel,
    Series,
    Structure,
    Suite,
    SuiteParams,
    Table,
    TrajectorySpec,
)


class Pair(Suite):
    """Two atoms in a box, thermalised and left alone."""

    name, version, title = "pair", 1, "A pair"
    method = "Two atoms."
    needs = frozenset({"energy", "forces"})
    criteria = (
        Criterion(name="energy", compare="abs<", limit=1.0, unit="eV", item=1, source="a test"),
        Criterion(name="distance", compare=">", limit=2.0, unit="A", item=5, source="a test"),
    )

    class Params(SuiteParams):
        """Parameters."""

        temperature_K: PositiveFloat = 30.0
        steps: int = 2300

    @staticmethod
    def _pair(distance: float) -> Structure:
        return Structure(
            numbers=np.full(2, 18),
            positions=np.array([[1.0, 1.0, 1.0], [1.0 + distance, 1.0, 1.0]]),
            cell=18.0 * np.eye(3),
            pbc=np.ones(3, bool),
            masses=np.full(2, 39.95),
        )

    def trajectories(self, params: Params, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """A thermostatted run, and one at constant energy that goes on from a state in its middle."""
        start = MaxwellBoltzmann(params.temperature_K)
        nvt = TrajectorySpec(
            self._pair(3.8), Langevin(params.temperature_K), 2.0, params.steps, start, inputs.seed, 50
        )
        middle = replace(nvt, n_steps=2 * params.steps // 3)
        return {"nvt": nvt, "nve": TrajectorySpec(self._pair(3.8), NVE(), 2.0, 500, middle, inputs.seed, 100)}

    def structures(self, params: Params, inputs: Inputs) -> list[Structure]:
        """The curve: two chunks of evaluations."""
        return [self._pair(r) for r in np.linspace(3.5, 5.0, 20)]

    def produce(self, params: Params, context: Context) -> None:
        """Energies of the curve, and the trajectories."""
        context.run_trajectories()
        answers = context.evaluate(self.structures(params, context), ["energy", "forces"])
        context.save("energies", np.array([a.energy for a in answers]))
        context.save("forces", np.array([a.forces for a in answers]))

    def measure(self, params: Params, data: Data) -> Outcome:
        """Numbers that every stored byte can change."""
        nvt, nve = data.trajectory("nvt"), data.trajectory("nve")
        everything = [data.array("energies"), data.array("forces")]
        for t in (nvt, nve):
            everything += [t.positions, t.velocities, t.potential_energy, t.temperature, t.momentum]
        total = float(sum(np.sum(np.asarray(a)) for a in everything))
        distance = np.linalg.norm(nvt.positions[:, 0] - nvt.positions[:, 1], axis=1)
        curve = Series(kind="line", x=np.arange(len(distance)), y=distance)
        return Outcome(
            [
                Measurement(
                    name="energy",
                    value=float(data.array("energies").min()),
                    unit="eV",
                    exact=True,
                    stderr=0.0,
                ),
                Measurement(name="distance", value=float(distance.min()), unit="A", exact=True, stderr=0.0),
                Measurement(name="sum", value=total, unit="1", exact=True, stderr=0.0),
            ],
            figures=[
                Figure(
                    id="distance",
                    caption="Distance.",
                    alt="It stays.",
                    panels=[Panel(xlabel="frame", ylabel="r (A)", series=[curve])],
                )
            ],
            tables=[Table(id="t", caption="Sum.", columns=["sum"], rows=[[total]])],
        )
