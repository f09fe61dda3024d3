"""Stochastic cell rescaling: volumes, pressures, events, refusals. Resuming is tested with the driver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import BatchEvaluation, Capabilities, Identity, Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import (
    NVE,
    Langevin,
    Limits,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    TrajectorySpec,
    VelocityRescaling,
)
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA, MASS_VELOCITY_SQUARED
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.potentials.harmonic import HarmonicSolid
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore

ARGON = Structure.from_ase(bulk("Ar", "fcc", 5.4, cubic=True) * (2, 2, 2))
BAR_PER_EV_A3 = EV_PER_A3_IN_GPA * 1e4
COLD = StochasticCellRescaling(Langevin(40.0, 0.01), 500.0, 1.0, relaxation_fs=400.0, stride=5)


class IdealGas(Potential):
    """Particles that do not see each other; `stress` is what it says of the stress. `spring` in eV resists a
    change of the cell's shape: E = spring/2 |dev ln U|^2, U the stretch from the bound cell on, whose stress
    is spring dev(ln v)/V, with v the same stretch as it lies in space."""

    capabilities = Capabilities(frozenset({"energy", "forces", "stress"}), batched=True)
    identity = Identity("ideal gas", "0", True)

    def __init__(self, stress=0.0, shape=(3, 3), spring=0.0):
        self.stress, self.shape, self.spring = stress, shape, spring

    def evaluate(self, structures, properties=("energy", "forces")):
        raise NotImplementedError

    def bind(self, structure, n_replicas):
        def evaluate(positions, cells, stress):
            stresses = np.full((n_replicas, *self.shape), self.stress) if stress else None
            energies = np.zeros(n_replicas)
            if self.spring:
                shapes = [hencky(structure.cell, cell) for cell in cells]
                energies += [0.5 * self.spring * (e**2).sum() for e in shapes]
                if stress:
                    stresses += [
                        self.spring * e / np.linalg.det(c) for e, c in zip(shapes, cells, strict=True)
                    ]
            return BatchEvaluation(energies, np.zeros(positions.shape), stresses)

        return evaluate


def hencky(start, cell):
    """The deviator of the logarithmic strain in space, (3, 3)."""
    map_ = np.linalg.solve(start, cell)
    squares, axes = np.linalg.eigh(map_.T @ map_)
    logarithms = 0.5 * np.log(squares)
    return (axes * (logarithms - logarithms.mean())) @ axes.T


def run(folder, specs, potential=None):
    store = TrajectoryStore(folder)
    simulate(potential or lennard_jones_argon(), "p", merge(specs, [], "p"), store, chunk_steps=100)
    return [store.read(s.key("p"), s.n_steps, s.frame_stride) for s in specs]


def spec(ensemble=COLD, n_steps=200, **more):
    more = {"start": MaxwellBoltzmann(40.0), "frame_stride": 10, "monitor_stride": 10, **more}
    return TrajectorySpec(ARGON, ensemble, 4.0, n_steps, seed=1, **more)


LANGEVIN, RESCALING = Langevin(300.0, 0.05), VelocityRescaling(300.0, 50.0)


@pytest.mark.parametrize(
    ("thermostat", "fix_com", "cell"),
    [
        (LANGEVIN, True, "isotropic"),
        (LANGEVIN, False, "isotropic"),
        (RESCALING, True, "isotropic"),
        (RESCALING, False, "isotropic"),
        (LANGEVIN, True, "lengths"),
        (LANGEVIN, False, "full"),  # rescaling all velocities alike leaves directions apart in a gas
    ],
)
def test_volume_of_an_ideal_gas(tmp_path, thermostat, fix_com, cell):
    """Oracle: V^N exp(-P V/kT) dV, a gamma distribution of shape N + 1: <V> = (N + 1) kT/P and
    var V = (N + 1) (kT/P)^2; and <P_int> = P. Here N = 8: another measure (dV/V), a centre of mass that is
    forgotten, or noise in ln V without its drift is off by 11 %, four standard errors and more; a
    weak-coupling barostat has a fraction of the variance. A cell that also changes its shape, which a gas
    does not resist, has the same volumes: V^(N + 1) exp(-P V/kT) over the invariant measure of strains; and
    under a spring of k = 16 kT that does resist, |dev ln U|^2 has a mean that is known too."""
    n, unit = 8, 1000.0  # kT/P in A^3
    pressure = BOLTZMANN * 300.0 / unit  # eV/A^3
    size = (n * unit) ** (1 / 3)
    positions = np.random.default_rng(0).uniform(0, size, (n, 3))
    gas = Structure(np.full(n, 18), positions, size * np.eye(3), np.ones(3, bool), np.full(n, 40.0))
    ensemble = StochasticCellRescaling(
        thermostat,
        pressure * BAR_PER_EV_A3,
        1 / (pressure * EV_PER_A3_IN_GPA),
        relaxation_fs=40.0,
        stride=2,
        least_volume=1e-3,
        most_volume=1e3,
        cell=cell,
        most_stretch=1e3,
    )
    specs = [
        TrajectorySpec(
            gas,
            ensemble,
            2.0,
            2000,
            MaxwellBoltzmann(300.0),
            seed,
            monitor_stride=10,
            frame_stride=10,
            fix_com=fix_com,
            limits=Limits(closest_contact_A=0.0),
        )
        for seed in range(24)
    ]
    store = TrajectoryStore(tmp_path)
    simulate(IdealGas(spring=16 * BOLTZMANN * 300.0), "p", merge(specs, [], "p"), store)
    runs = [store.read(s.key("p"), s.n_steps, 10) for s in specs]
    assert all(r.event is None for r in runs)
    volumes = np.array([r.volume[20:] for r in runs]) / unit
    means = volumes.mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(len(runs))
    assert error < 0.27
    assert abs(means.mean() - (n + 1)) < 3 * error
    assert volumes.var() == pytest.approx(n + 1, rel=0.25)
    pressures = np.array([r.pressure[20:].mean() for r in runs]) / ensemble.pressure_bar
    assert pressures.mean() == pytest.approx(1.0, abs=0.05)  # moves a tenth of the relaxation apart: 2 % high
    shapes = [(hencky(gas.cell, c) ** 2).sum() for r in runs for c in r.cells[20:]]
    assert np.mean(shapes) == pytest.approx(SHAPES[cell](16.0), rel=0.1, abs=1e-12)


def spread_of_stretches(k):
    """<|dev l|^2> of l = ln of singular values: density exp(-k |dev l|^2/2) prod sinh|l_i - l_j|, the
    measure that strains leave (Helgason, Groups and Geometric Analysis, theorem I.5.8). By quadrature."""
    x = np.linspace(-2.0, 2.0, 801)
    u, v = np.meshgrid(x, x)  # orthonormal coordinates of the plane of deviators
    l1, l2, l3 = u / np.sqrt(2) + v / np.sqrt(6), -u / np.sqrt(2) + v / np.sqrt(6), -2 * v / np.sqrt(6)
    square = u**2 + v**2
    weights = np.exp(-k * square / 2) * np.abs(np.sinh(l1 - l2) * np.sinh(l2 - l3) * np.sinh(l1 - l3))
    return float((weights * square).sum() / weights.sum())


SHAPES = {"isotropic": lambda k: 0.0, "lengths": lambda k: 2 / k, "full": spread_of_stretches}


def test_the_cell_keeps_its_shape_and_the_centre_of_mass_its_place(tmp_path):
    (t,) = run(tmp_path, [spec()])
    scale = np.cbrt(t.volume / ARGON.volume)
    assert np.ptp(scale) > 1e-3
    assert np.allclose(t.cells, scale[:, None, None] * ARGON.cell, rtol=1e-12)
    centre = (ARGON.masses / ARGON.masses.sum()) @ ARGON.positions
    assert np.abs(t.positions.mean(axis=1) - centre).max() < 1e-10
    assert np.abs(t.momentum).max() < 1e-12
    assert t.density == pytest.approx(39.948 * 32 * 1.66053906660 / t.volume, rel=1e-6)


@pytest.mark.parametrize("cell", ["lengths", "full"])
def test_a_cell_that_changes_its_shape(tmp_path, cell):
    """Lengths move apart; angles, where only lengths move, stay right to the last bit. Atoms go with the
    cell."""
    (t,) = run(tmp_path, [spec(replace(COLD, cell=cell))])
    metric = t.cells @ np.swapaxes(t.cells, 1, 2)
    lengths = np.sqrt(np.diagonal(metric, axis1=1, axis2=2))
    assert np.ptp(lengths[:, 0] / lengths[:, 1]) > 1e-3
    assert np.ptp(lengths[:, 1] / lengths[:, 2]) > 1e-3
    off = np.abs(metric[:, [0, 0, 1], [1, 2, 2]]).max()
    assert off > 1e-2 if cell == "full" else off == 0.0
    assert np.allclose(np.linalg.det(t.cells), t.volume, rtol=1e-12)
    centre = (ARGON.masses / ARGON.masses.sum()) @ ARGON.positions
    assert np.abs(t.positions.mean(axis=1) - centre).max() < 1e-10
    scaled = (t.positions - centre) @ np.linalg.inv(t.cells)
    assert (
        np.abs(scaled - scaled[0]).max() < 0.05
    )  # thermal amplitudes; left behind they would be off by more


@pytest.mark.parametrize("cell", ["isotropic", "lengths", "full"])
def test_a_compressed_cell_goes_where_the_pressure_is_asked(tmp_path, cell):
    """Oracle: near 0 K every diagonal component of the stress is -P. A cell squeezed by 3 % along x
    gets its cubic shape back where lengths move, and cannot where they do not."""
    squeezed = np.diag([0.97, 1.0, 1.0])
    start = replace(ARGON, positions=ARGON.positions @ squeezed, cell=ARGON.cell @ squeezed)
    soft = replace(COLD, thermostat=Langevin(0.01, 0.02), stride=2, cell=cell)
    (t,) = run(
        tmp_path,
        [replace(spec(soft, n_steps=3000), structure=start, start=MaxwellBoltzmann(0.01))],
    )
    frames = [start.with_positions(x, c) for x, c in zip(t.positions[-100:], t.cells[-100:], strict=True)]
    stress = np.mean([a.stress for a in lennard_jones_argon().evaluate(frames, ("energy", "stress"))], axis=0)
    assert t.pressure[-100:].mean() == pytest.approx(500.0, abs=20.0)
    ratio = np.mean(t.cells[-100:, 0, 0] / t.cells[-100:, 1, 1])
    if cell == "isotropic":
        assert ratio == pytest.approx(0.97, abs=1e-12)
    else:
        assert ratio == pytest.approx(1.0, abs=2e-3)
        assert np.diag(stress) * BAR_PER_EV_A3 == pytest.approx(-500.0, abs=30.0)


@pytest.mark.parametrize("cell", ["isotropic", "lengths", "full"])
def test_the_pressure_is_that_of_the_frame(tmp_path, cell):
    """Oracle: virial theorem on stored frames, (sum m v^2/3 + kT)/V - tr(stress)/3, stress by `evaluate`; kT
    is the centre of mass's share."""
    (t,) = run(tmp_path, [spec(replace(COLD, cell=cell))])
    frames = [ARGON.with_positions(x, cell) for x, cell in zip(t.positions, t.cells, strict=True)]
    answers = lennard_jones_argon().evaluate(frames, ("energy", "stress"))
    squares = MASS_VELOCITY_SQUARED * (ARGON.masses[:, None] * t.velocities**2).sum(axis=(1, 2))
    kinetic = (squares / 3 + BOLTZMANN * 40.0) / t.volume
    expected = [k - np.trace(a.stress) / 3 for k, a in zip(kinetic, answers, strict=True)]
    assert t.pressure / BAR_PER_EV_A3 == pytest.approx(np.array(expected), rel=1e-6)
    assert t.potential_energy == pytest.approx(np.array([a.energy for a in answers]), rel=1e-12)


@pytest.mark.parametrize("cell", ["isotropic", "lengths", "full"])
def test_the_conserved_quantity_knows_the_heat_of_both_baths(tmp_path, cell):
    (t,) = run(tmp_path, [spec(replace(COLD, cell=cell), n_steps=1500)])
    total = t.potential_energy + t.kinetic_energy
    assert t.conserved.std() < 0.02 * total.std()


def test_pressures_side_by_side(tmp_path):
    """Each replica has its own pressure, and none feels the others."""
    specs = [spec(replace(COLD, pressure_bar=p), n_steps=800, frame_stride=0) for p in (0.0, 2000.0, 6000.0)]
    together = run(tmp_path / "together", specs)
    alone = run(tmp_path / "alone", specs[1:2])
    assert np.array_equal(together[1].volume, alone[0].volume)
    means = [t.volume[50:].mean() for t in together]
    assert means[0] > 1.03 * means[1] > 1.06 * means[2]


def test_a_shape_that_runs_away_ends_the_run(tmp_path):
    """A gas resists no shear, so its cell is stretched beyond any limit."""
    gas = replace(spec(replace(COLD, cell="full", most_stretch=1.2, stride=1), 4000), frame_stride=0)
    (t,) = run(
        tmp_path, [replace(gas, limits=Limits(closest_contact_A=0.0), monitor_stride=1000)], IdealGas()
    )
    assert t.event is not None
    assert (t.event.what, t.event.step % 1000 > 0) == ("stretch", True)
    lengths = np.linalg.svd(np.linalg.solve(ARGON.cell, t.cells[-1]), compute_uv=False)
    assert t.event.value in (pytest.approx(lengths[0]), pytest.approx(lengths[2]))
    assert "times its length at the start along some direction (limit" in str(t.event)


@pytest.mark.parametrize(("scale", "word", "limit"), [(1.1, "evaporated", 2.0), (0.95, "collapsed", 0.5)])
def test_a_reversed_stress_runs_away(tmp_path, scale, word, limit):
    """A wrong sign blows a stretched crystal up and lets a compressed one collapse; that is caught between
    two samples, and the last frame is kept."""
    wrong = faulty.wrong_sign_stress(lennard_jones_argon())
    start = replace(ARGON, positions=scale * ARGON.positions, cell=scale * ARGON.cell)
    away = StochasticCellRescaling(Langevin(40.0, 0.01), 0.0, 1.0, relaxation_fs=400.0, stride=1)
    asked = replace(spec(away, n_steps=4000, monitor_stride=1000, frame_stride=0), structure=start)
    (t,) = run(tmp_path, [asked], wrong)
    assert t.event is not None
    assert (t.event.what, t.event.limit) == ("volume", limit)
    assert t.event.step % 1000
    assert f"a cell that has {word} to" in str(t.event)
    assert t.event.value == pytest.approx(t.volume[-1] / start.volume)
    assert t.frame_steps.tolist() == [t.event.step]
    assert np.linalg.det(t.cells[-1]) == pytest.approx(t.volume[-1])


def test_a_stress_that_is_no_number_ends_the_run(tmp_path):
    (t,) = run(tmp_path, [replace(spec(), limits=Limits(closest_contact_A=0.0))], IdealGas(stress=np.nan))
    assert (t.event.what, t.event.step, t.event.value) == ("not_finite", 0, 9.0)


def test_no_stress_no_barostat(tmp_path):
    with pytest.raises(
        PotentialError, match="needs the stress, got a potential that gives energies, energy, f"
    ):
        run(tmp_path, [spec()], HarmonicSolid.einstein(ARGON, 1.0))
    assert not list(tmp_path.iterdir())
    with pytest.raises(PotentialError, match=r"stresses \(1, 3, 3\) when asked; got \(1, 6\)"):
        run(tmp_path, [spec()], IdealGas(shape=(6,)))


def test_what_goes_on_from_it_has_its_cell(tmp_path):
    parent = spec()
    before, after = run(tmp_path, [parent, spec(NVE(), start=parent, n_steps=20)])
    assert np.array_equal(after.cells[0], before.cells[-1])
    assert np.array_equal(after.cells[0], after.cells[-1])
    assert not np.array_equal(after.cells[0], ARGON.cell)
    assert after.volume is after.pressure is after.density is None
