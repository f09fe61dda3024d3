"""Requests: sharing, parents, strides, marks, impossible specifications."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlipbench.core.errors import InputError
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import (
    NVE,
    Langevin,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    TrajectorySpec,
    VelocityRescaling,
)
from mlipbench.simulate.requests import merge

ARGON = Structure(
    np.array([18, 18]), np.array([[0.0, 0, 0], [4, 0, 0]]), 20 * np.eye(3), np.ones(3, bool), np.full(2, 40.0)
)
PREPARE = TrajectorySpec(ARGON, Langevin(50.0), 2.0, 300, MaxwellBoltzmann(50.0), seed=3)
NPT = StochasticCellRescaling(Langevin(50.0), pressure_bar=1.0, compressibility_per_GPa=1.0)
RUN = TrajectorySpec(ARGON, NVE(), 2.0, 1000, PREPARE, seed=4, frame_stride=6)


def test_parents_come_first_with_marks():
    first, second = merge([RUN], [], "p")
    assert first.spec is PREPARE
    assert (first.n_steps, first.frame_stride, first.marks) == (300, 0, {300})
    assert (second.spec, second.n_steps, second.frame_stride, second.marks) == (RUN, 1000, 6, frozenset())


def test_equal_keys_are_one_trajectory():
    finer = replace(RUN, n_steps=400, frame_stride=4)
    none = replace(RUN, n_steps=700, frame_stride=0)
    requests = merge([finer, none], [RUN, finer, none], "p")
    assert [r.n_steps for r in requests] == [300, 700]
    assert requests[1].frame_stride == 2


def test_marks_come_from_all_that_is_planned():
    longer = replace(PREPARE, n_steps=800)
    grandchild = replace(RUN, start=replace(RUN, n_steps=500))
    (request,) = merge([longer], [RUN, replace(RUN, start=longer), grandchild], "p")
    assert request.n_steps == 800
    assert request.marks == {300, 800}
    assert [r.marks for r in merge([grandchild], [], "p")] == [{300}, {500}, frozenset()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timestep_fs": 0.0}, "timestep_fs = 0.0; expected a time step above 0"),
        ({"n_steps": -1}, "n_steps = -1"),
        ({"monitor_stride": 0}, "monitor_stride = 0"),
        ({"frame_stride": -2}, "stride = -2"),
        ({"seed": -1}, "seed = -1"),
        ({"ensemble": Langevin(-5.0)}, "temperature_K = -5.0"),
        ({"ensemble": Langevin(5.0, friction_per_fs=0.0)}, "friction above 0"),
        ({"ensemble": VelocityRescaling(5.0, relaxation_fs=0.0)}, "relaxation time above 0"),
        ({"ensemble": replace(NPT, thermostat=Langevin(5.0, 0.0))}, "friction above 0"),
        ({"ensemble": replace(NPT, pressure_bar=np.nan)}, "pressure_bar = nan"),
        ({"ensemble": replace(NPT, compressibility_per_GPa=0.0)}, "compressibility_per_GPa = 0.0"),
        ({"ensemble": replace(NPT, relaxation_fs=199.0)}, "at least 10 times the 20 fs between two moves"),
        ({"ensemble": replace(NPT, stride=0)}, "stride = 0"),
        ({"ensemble": NPT, "monitor_stride": 15}, r"a multiple of the barostat's stride \(10\)"),
        ({"ensemble": replace(NPT, most_volume=0.9)}, "limits below and above 1"),
        (
            {
                "ensemble": NPT,
                "structure": replace(ARGON, pbc=np.array([True, True, False])),
                "start": MaxwellBoltzmann(50.0),
            },
            "periodic in all directions",
        ),
        ({"start": MaxwellBoltzmann(-1.0)}, "start temperature_K = -1.0"),
        (
            {"start": replace(PREPARE, structure=replace(ARGON, masses=np.ones(2)))},
            "the atoms of the trajectory",
        ),
        ({"structure": replace(ARGON, masses=np.zeros(2))}, "masses above 0"),
    ],
)
def test_what_cannot_be_run_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        merge([replace(RUN, **change)], [], "p")
