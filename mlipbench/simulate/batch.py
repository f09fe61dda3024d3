"""One chunk of steps of replicas that run side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import BatchEvaluation, BoundPotential, Potential
from mlipbench.core.structure import FloatArray
from mlipbench.core.trajectory import (
    NVE,
    Ensemble,
    Event,
    Langevin,
    StochasticCellRescaling,
    TrajectorySpec,
)
from mlipbench.core.units import ACCELERATION
from mlipbench.simulate.barostat import coupling_of, stochastic_cell_rescaling
from mlipbench.simulate.langevin import baoab
from mlipbench.simulate.monitors import Monitor, Sample, broken_cell
from mlipbench.simulate.nve import velocity_verlet
from mlipbench.simulate.rescaling import canonical_rescaling
from mlipbench.simulate.state import Arrays, State, Step
from mlipbench.simulate.velocities import degrees_of_freedom

RUNAWAY_A = 1.0  # a force that moves an atom so far in one step has its replica checked at once


@dataclass
class Replica:
    """One trajectory under way. The lists hold what has come since the last commit."""

    spec: TrajectorySpec
    n_steps: int
    frame_stride: int
    marks: frozenset[int]
    state: Arrays
    monitor: Monitor
    event: Event | None = None
    samples: list[Sample] = field(default_factory=list)
    frames: list[tuple[int, FloatArray, FloatArray, FloatArray]] = field(default_factory=list)
    marked: dict[int, Arrays] = field(default_factory=dict)

    def chunk(self) -> Arrays:
        """Samples and frames since the last commit, as arrays; the lists are emptied."""
        samples, frames, n_atoms = self.samples, self.frames, len(self.spec.structure)
        arrays: Arrays = {
            "steps": np.array([s.step for s in samples], dtype=np.int64),
            "momentum": np.array([s.momentum for s in samples]).reshape(-1, 3),
            "angular_momentum": np.array([s.angular_momentum for s in samples]).reshape(-1, 3),
            "frame_steps": np.array([f[0] for f in frames], dtype=np.int64),
            "positions": np.array([f[1] for f in frames]).reshape(-1, n_atoms, 3),
            "velocities": np.array([f[2] for f in frames]).reshape(-1, n_atoms, 3),
            "cells": np.array([f[3] for f in frames]).reshape(-1, 3, 3),
        }
        of_the_cell = ("volume", "pressure") if self.spec.cell_moves else ()
        scalars = ("potential_energy", "kinetic_energy", "conserved", "temperature", "closest_contact")
        for name in (*scalars, *of_the_cell):
            arrays[name] = np.array([getattr(s, name) for s in samples], dtype=np.float64)
        self.samples, self.frames, self.marked = [], [], {}
        return arrays


class _Forces:
    """The bound potential, guarded: what is not a number never reaches positions or velocities.

    A replica that has ended keeps its place in the batch, at the positions where the chunk began, until
    the chunk is over: the potential is bound once a chunk, so that whatever a bound potential remembers
    (a neighbour list with a skin) depends on neither the other replicas nor on where a run was resumed.
    """

    def __init__(self, bound: BoundPotential, state: State, specs: list[TrajectorySpec]) -> None:
        masses, timestep_fs = specs[0].structure.masses, specs[0].timestep_fs
        self._bound = bound
        self._specs = specs
        self._positions = state.positions.copy()
        self._cells = state.cells.copy()
        self._shape = state.positions.shape
        self._rows: list[int] | None = None  # which replicas of the batch are left; None: all
        limit = 2.0 * RUNAWAY_A * masses / (ACCELERATION * timestep_fs**2)
        self._runaway = limit[:, None]  # (n_atoms, 1) eV/A
        self._calm = float(limit.min()) ** 2
        self.alarmed: dict[int, int] = {}  # row of the state -> how many numbers are not finite

    def keep(self, rows: list[int]) -> None:
        """Only these of the rows that are left go on."""
        self._specs = [self._specs[row] for row in rows]
        self._rows = [self._rows[row] for row in rows] if self._rows is not None else rows

    def __call__(self, state: State, stress: bool = False) -> None:
        """Set what the potential says of the state; fill `alarmed` where that needs a look."""
        positions, cells = state.positions, state.cells
        if self._rows is not None:
            self._positions[self._rows], self._cells[self._rows] = positions, cells
            positions, cells = self._positions, self._cells
        answer = self._bound(positions, cells, stress)
        if answer.forces.shape != self._shape or answer.energies.shape != self._shape[:1]:
            raise PotentialError(
                f"a bound potential must answer energies {self._shape[:1]} and forces {self._shape}; "
                f"got {answer.energies.shape} and {answer.forces.shape}"
            )
        energies, forces, stresses = answer.energies, answer.forces, self._stresses(answer, stress)
        if self._rows is not None:
            energies, forces = energies[self._rows], forces[self._rows]
            stresses = None if stresses is None else stresses[self._rows]
        state.potential_energy, state.forces, state.stresses = energies, forces, stresses
        odd = 0.0 * sum(energies.tolist()) + (0.0 if stresses is None else 0.0 * float(np.sum(stresses)))
        if not np.vdot(forces, forces) + odd < self._calm:
            self._look(state)
        if stress:
            self._look_at_cells(state)

    def _stresses(self, answer: BatchEvaluation, asked: bool) -> FloatArray | None:
        if not asked:
            return None
        shape = (self._shape[0], 3, 3)
        if answer.stresses is None or answer.stresses.shape != shape:
            got = None if answer.stresses is None else answer.stresses.shape
            raise PotentialError(f"a bound potential must answer stresses {shape} when asked; got {got}")
        return answer.stresses

    def _look(self, state: State) -> None:
        """Which replicas have numbers that are not finite, or forces that throw an atom away."""
        forces = np.array(state.forces, dtype=np.float64)
        stresses = None if state.stresses is None else np.array(state.stresses, dtype=np.float64)
        for row in range(len(forces)):
            count = int((~np.isfinite(forces[row])).sum()) + int(not np.isfinite(state.potential_energy[row]))
            if stresses is not None:
                count += int((~np.isfinite(stresses[row])).sum())
            if count:
                forces[row] = 0.0
                if stresses is not None:
                    stresses[row] = 0.0
                self.alarmed[row] = count
            elif np.any(np.abs(forces[row]) > self._runaway):
                self.alarmed.setdefault(row, 0)
        state.forces, state.stresses = forces, stresses

    def _look_at_cells(self, state: State) -> None:
        """Which cells have collapsed, evaporated, or lost their shape."""
        for row, spec in enumerate(self._specs):
            if broken_cell(spec, state.cells[row]) is not None:
                self.alarmed.setdefault(row, 0)


class Batch:
    """Replicas of one system with equal time step, kind of ensemble, and step number."""

    def __init__(self, potential: Potential, replicas: list[Replica], step: int) -> None:
        spec = replicas[0].spec
        self._running = list(replicas)
        self._step = step
        self._state = State.of([replica.state for replica in replicas])
        bound = potential.bind(spec.structure, len(replicas))
        self._forces = _Forces(bound, self._state, [replica.spec for replica in replicas])
        self._advance = _integrator([replica.spec for replica in replicas])

    def run(self, end: int, tick: Callable[[int], None]) -> None:
        """Go to step `end` or until no replica is left; their states are then those of the last step.

        `tick` is called after every force evaluation with the number of steps done, over replicas.
        """
        if self._step == 0:
            self._begin(tick)
        stride = self._running[0].spec.monitor_stride if self._running else 1
        while self._running and self._step < end:
            stop = self._next_stop(end, stride)
            while self._step < stop and not self._forces.alarmed:
                self._step += 1
                self._state.step = self._step
                self._advance(self._state, self._forces)
                tick(len(self._running))
            self._record(sample=self._step % stride == 0)
        for row, replica in enumerate(self._running):
            replica.state = self._state.replica(row)

    def _begin(self, tick: Callable[[int], None]) -> None:
        self._forces(self._state, stress=self._running[0].spec.cell_moves)
        self._state.energy_at_start = np.array(self._state.potential_energy, dtype=np.float64)
        tick(0)
        self._record(sample=True)

    def _next_stop(self, end: int, stride: int) -> int:
        """The next step at which something is recorded or a replica is done."""
        step = self._step
        stop = min(end, step - step % stride + stride)
        for replica in self._running:
            if replica.frame_stride:
                stop = min(stop, step - step % replica.frame_stride + replica.frame_stride)
            stop = min([stop, replica.n_steps, *(mark for mark in replica.marks if mark > step)])
        return stop

    def _record(self, sample: bool) -> None:
        """Samples, frames and marks of this step; replicas that are done leave."""
        step, state, alarmed = self._step, self._state, self._forces.alarmed
        staying = []
        for row, replica in enumerate(self._running):
            if alarmed.get(row):
                replica.event = replica.monitor.not_finite(step, alarmed[row])
            elif sample or row in alarmed:
                seen = replica.monitor.sample(state, row, step)
                replica.event = replica.monitor.check(seen, float(state.energy_at_start[row]))
                if sample or replica.event is not None:
                    replica.samples.append(seen)
            stride = replica.frame_stride
            if replica.event is not None or (stride and step % stride == 0):
                frame = (state.positions[row].copy(), state.velocities[row].copy(), state.cells[row].copy())
                replica.frames.append((step, *frame))
            if step in replica.marks:
                replica.marked[step] = state.replica(row)
            if replica.event is None and step < replica.n_steps:
                staying.append(row)
            else:
                replica.state = state.replica(row)
        alarmed.clear()
        if len(staying) < len(self._running):
            self._keep(staying)

    def _keep(self, rows: list[int]) -> None:
        self._running = [self._running[row] for row in rows]
        if rows:
            self._state = self._state.keep(rows)
            self._forces.keep(rows)
            self._advance = _integrator([replica.spec for replica in self._running])


def _integrator(specs: list[TrajectorySpec]) -> Step:
    """The step function for replicas of one kind of ensemble."""
    spec = specs[0]
    if not isinstance(spec.ensemble, StochasticCellRescaling):
        return _at_constant_volume(specs, [s.ensemble for s in specs])
    barostats = [s.ensemble for s in specs if isinstance(s.ensemble, StochasticCellRescaling)]
    dynamics = _at_constant_volume(specs, [barostat.thermostat for barostat in barostats])
    interval_fs = spec.ensemble.stride * spec.timestep_fs
    return stochastic_cell_rescaling(
        dynamics,
        spec.structure.masses,
        [
            coupling_of(b, interval_fs, s.fix_com, s.structure.volume)
            for b, s in zip(barostats, specs, strict=True)
        ],
        spec.ensemble.stride,
    )


def _at_constant_volume(specs: list[TrajectorySpec], ensembles: Sequence[Ensemble]) -> Step:
    """The same for ensembles of one kind that leave the cell alone."""
    spec = specs[0]
    masses, timestep_fs = spec.structure.masses, spec.timestep_fs
    if isinstance(ensembles[0], NVE):
        return velocity_verlet(masses, timestep_fs, len(specs))
    temperatures = np.array([e.temperature_K for e in ensembles if not isinstance(e, NVE)])
    if isinstance(ensembles[0], Langevin):
        frictions = np.array([e.friction_per_fs for e in ensembles if isinstance(e, Langevin)])
        return baoab(masses, timestep_fs, temperatures, frictions, spec.fix_com)
    relaxations = np.array([e.relaxation_fs for e in ensembles if e.kind == "velocity_rescaling"])
    freedom = np.array([degrees_of_freedom(s) for s in specs], dtype=np.int64)
    return canonical_rescaling(masses, timestep_fs, temperatures, relaxations, freedom, spec.fix_com)
