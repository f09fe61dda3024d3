"""Inputs, Context and Data in memory, for tests of suites."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.suite import IntendedUse
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.relax import relax
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore


@dataclass
class Fake:
    """All three contracts in one; `labelled` maps a reference's name to its frames."""

    start: object = None
    labelled: dict = field(default_factory=dict)
    potential: object = None
    folder: object = None
    seed: int = 1
    use: IntendedUse = field(default_factory=lambda: IntendedUse(300.0))
    theories: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    specs: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)  # label -> Trajectory, instead of computed ones
    references: dict = field(default_factory=dict)  # name -> Curve, Scalar, PhononReference

    @property
    def intended_use(self):
        return self.use

    @property
    def properties(self):
        return self.potential.capabilities.properties

    def structure(self, ref):
        return self.start

    def frames(self, ref):
        return self.labelled[ref.reference]

    def phonons(self, ref):
        return self.references[ref.reference]

    def curve(self, ref):
        found = self.references[ref.reference]
        return found.converted(ref.abscissa_unit or found.abscissa_unit, ref.value_unit or found.value_unit)

    def scalar(self, ref):
        found = self.references[ref.reference]
        return found.converted(ref.unit or found.unit)

    def level_of_theory(self, ref):
        return self.theories.get(ref.reference, "")

    def evaluate(self, structures, properties):
        return self.potential.evaluate(list(structures), properties)

    def run_trajectories(self):
        if self.given:
            return
        self.store = TrajectoryStore(self.folder)
        key = self.potential.identity.key
        wanted = list(self.specs.values())
        simulate(self.potential, key, merge(wanted, wanted, key), self.store)

    def relax(self, structure, force_tolerance_eV_per_A, max_steps):
        if self.potential is None:
            raise PotentialError("trajectories were given, there is no potential")
        return relax(self.potential, structure, force_tolerance_eV_per_A, max_steps)

    def save(self, name, array):
        self.arrays[name] = np.atleast_1d(array)  # as the store keeps it

    def array(self, name):
        return self.arrays[name]

    def has(self, name):
        return name in self.arrays

    def trajectory(self, label):
        if label in self.given:
            return self.given[label]
        return self.store.read(*self._stored(label))

    def pieces(self, label):
        if label in self.given:
            return iter(cut(self.given[label], 3))
        return self.store.pieces(*self._stored(label))

    def _stored(self, label):
        spec = self.specs[label]
        return spec.key(self.potential.identity.key), spec.n_steps, spec.frame_stride


def cut(trajectory, n):
    """A trajectory in n pieces, as the store hands them out."""
    edges = np.linspace(0, trajectory.n_steps, n + 1)[1:-1]
    samples = np.split(np.arange(len(trajectory.steps)), np.searchsorted(trajectory.steps, edges))
    frames = np.split(np.arange(len(trajectory.frame_steps)), np.searchsorted(trajectory.frame_steps, edges))
    of_frames = ("frame_steps", "positions", "velocities", "cells")
    return [
        replace(
            trajectory,
            **{
                name: array[of if name in of_frames else some]
                for name, array in vars(trajectory).items()
                if isinstance(array, np.ndarray)
            },
        )
        for some, of in zip(samples, frames, strict=True)
    ]


def run(suite_class, fake, **params):
    """Outcome of a suite on a fake, and its measurements by key."""
    suite = suite_class()
    asked = suite_class.Params(**params)
    suite.structures(asked, fake)
    fake.specs = suite.trajectories(asked, fake)
    suite.produce(asked, fake)
    outcome = suite.measure(asked, fake)
    return outcome, {m.key: m for m in outcome.measurements}


def verdicts(suite_class, outcome):
    """Measurement key -> verdict, for all that a criterion judges."""
    from mlipbench.core.judge import judge

    found = {}
    for criterion in suite_class.criteria:
        family = [m for m in outcome.measurements if m.name == criterion.name]
        for m, judgement in zip(family, judge(family, criterion), strict=True):
            found[m.key] = judgement.verdict.value
    return found
