"""Holes in the energy surface: planted ones are confirmed, honest drops of the energy are not.

The oracle is what was planted: `faulty.hole` puts a trap of known distance under a sound potential.
"""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from fakes import Fake, run, verdicts

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import NVE, Langevin, Limits, MaxwellBoltzmann, TrajectorySpec
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon, stillinger_weber_silicon
from mlipbench_suites import hole
from mlipbench_suites.nve import NveDrift
from mlipbench_suites.stability import Stability

SILICON = Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (2, 2, 1))
ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.4) * (2, 2, 2))
STRUCTURE = {"crystal": "diamond", "symbol": "Si"}


def numbers(note):
    """Energy below the start (eV/atom), tightest contact (A) and its limit, as the note says them."""
    found = re.search(r"lies ([\d.e+]+) eV/atom below .* is ([\d.]+) A \(unphysical below ([\d.]+) A\)", note)
    return [float(x) for x in found.groups()]


def test_nve_confirms_the_trap_that_silicon_fell_into(tmp_path):
    """The trap sits at 1.70 A, the neighbours of diamond at 2.35 A: limit 0.75 of that."""
    fake = Fake(
        start=SILICON,
        potential=faulty.hole(stillinger_weber_silicon()),
        folder=tmp_path,
        use=IntendedUse(1500.0),
    )
    params = {"duration_ps": 0.5, "prepare_ps": 1.0, "half_step_ps": 0.1, "timestep_fs": 1.0}
    outcome, m = run(NveDrift, fake, structure=STRUCTURE, temperatures_K=[1500.0], **params)
    assert verdicts(NveDrift, outcome)["failures@1500K"] == "FAIL"
    note = m["failures@1500K"].note
    assert "hole in the energy surface, confirmed" in note
    assert "exploded" not in note
    gain, distance, limit = numbers(note)
    assert gain > 1.0
    assert distance == pytest.approx(1.70, abs=0.05)
    assert limit == pytest.approx(0.75 * 5.43 * np.sqrt(3) / 4, abs=0.002)
    assert "at the start 4.00" in note


def test_stability_confirms_the_trap_that_argon_fell_into(tmp_path):
    potential = faulty.hole(
        lennard_jones_argon(switch_from_A=4.0, cutoff_A=5.0), depth_eV=10.0, centre_A=2.4, width_A=0.4
    )
    fake = Fake(start=ARGON, potential=potential, folder=tmp_path, use=IntendedUse(80.0))
    outcome, m = run(
        Stability,
        fake,
        structure=STRUCTURE,
        factors=[1.5],
        duration_ps=2.0,
        timestep_fs=5.0,
        friction_per_fs=0.02,
    )
    assert verdicts(Stability, outcome)["failures@120K"] == "FAIL"
    note = m["failures@120K"].note
    assert "hole in the energy surface, confirmed" in note
    _, distance, limit = numbers(note)
    assert distance < 2.6 < limit


def honest(folder, start, limits, temperature=300.0, n_steps=400, ensemble=None):
    """A run of sound silicon that a tight limit ends, and what the quench says of it."""
    spec = TrajectorySpec(
        start,
        ensemble or Langevin(temperature, 0.05),
        1.0,
        n_steps,
        MaxwellBoltzmann(temperature),
        seed=3,
        limits=limits,
    )
    fake = Fake(start=start, potential=stillinger_weber_silicon(), folder=folder, specs={"x@1K#0": spec})
    hole.run_and_quench(fake, [["x@1K#0"]])
    ended = fake.trajectory("x@1K#0")
    return fake, ended, hole.find(fake, "x@1K#0", ended)


def test_relaxing_disorder_goes_down_and_is_no_hole(tmp_path):
    """A start so disordered that its own minimum is a defect: annealed, it ends deeper, with sound bonds."""
    noise = 0.7 * np.random.default_rng(0).standard_normal(SILICON.positions.shape)
    start = SILICON.with_positions(SILICON.positions + noise)
    limits = Limits(closest_contact_A=0.1, temperature_K=1e6, energy_drop_eV_per_atom=2.0)
    fake, ended, found = honest(tmp_path, start, limits, n_steps=4000, temperature=1500.0)
    assert ended.event.what == "energy_drop"
    start_energy, last_energy = fake.arrays["quench.x-1K-0.energy_per_atom"]
    assert start_energy - last_energy > 10 * hole.MARGIN_EV_PER_ATOM
    assert not found.confirmed
    assert found.words.startswith("no hole confirmed: quenched, the last frame lies")


def test_hard_collision_is_no_hole(tmp_path):
    """Both minima are the crystal, so the energies agree and no contact is short."""
    fake, ended, found = honest(tmp_path, SILICON, Limits(closest_contact_A=2.15), 600.0)
    assert ended.event.what == "closest_contact"
    assert not found.confirmed
    assert np.ptp(fake.arrays["quench.x-1K-0.energy_per_atom"]) < hole.MARGIN_EV_PER_ATOM
    assert fake.arrays["quench.x-1K-0.largest_force"].max() <= hole.FORCE_TOLERANCE
    assert "mean coordination 4.00, at the start 4.00" in found.words


def test_nothing_is_quenched_where_nothing_broke_off(tmp_path):
    fake, ended, found = honest(tmp_path, SILICON, Limits(), n_steps=20, ensemble=NVE())
    assert ended.event is None
    assert fake.arrays == {}
    assert found == hole.Finding()


class Mute(Fake):
    """A context whose potential has no answer for a quench."""

    def relax(self, structure, force_tolerance_eV_per_A, max_steps):
        raise PotentialError("not numbers")


def test_failed_quench_leaves_the_event_standing(tmp_path):
    potential = faulty.hole(stillinger_weber_silicon())
    fake = Mute(start=SILICON, potential=potential, folder=tmp_path, use=IntendedUse(1500.0))
    outcome, m = run(
        Stability,
        fake,
        structure=STRUCTURE,
        factors=[1.0],
        duration_ps=1.0,
        timestep_fs=1.0,
        friction_per_fs=0.02,
    )
    assert verdicts(Stability, outcome)["failures@1500K"] == "FAIL"
    assert "no quench was possible" in m["failures@1500K"].note


def limits_of(atoms):
    """Contact limits by pairs of elements."""
    s = Structure.from_ase(atoms)
    kinds, found = np.unique(s.numbers), hole.contact_limits(s)
    return {(int(a), int(b)): found[i, j] for i, a in enumerate(kinds) for j, b in enumerate(kinds)}


def test_contact_limits_leave_room_for_chemistry():
    """What forms by honest chemistry stays allowed: H2 (0.74 A) from water or LiH, C2 from a gas of atoms,
    N2 (1.10 A) from single-bonded nitrogen. Bond lengths are ASE's geometries or the lattice itself."""
    water = molecule("H2O")
    found = limits_of(water)
    assert found[1, 8] == pytest.approx(0.75 * water.get_distance(0, 1))
    assert found[1, 1] == pytest.approx(0.6 * 0.62)
    found = limits_of(bulk("LiH", "rocksalt", a=4.08, cubic=True))
    assert found[1, 3] == pytest.approx(0.75 * 2.04)
    assert found[1, 1] < 0.74
    gas = Atoms("C8", 4.0 * np.indices((2, 2, 2)).reshape(3, -1).T, cell=8 * np.eye(3), pbc=True)
    assert limits_of(gas)[6, 6] == pytest.approx(0.6 * 1.52)
    assert limits_of(bulk("N", "sc", a=1.45) * (3, 3, 3))[7, 7] < 1.10
    assert limits_of(bulk("Ar", "fcc", a=5.4, cubic=True))[18, 18] == pytest.approx(0.75 * 5.4 / np.sqrt(2))


def test_tightest_contact_is_measured_by_its_limit():
    """Two silicon atoms at 1.5 A are worse than the O-H bond of a water molecule at 0.97 A."""
    atoms = molecule("H2O") + Atoms("Si2", [[5, 0, 0], [7.3, 0, 0]])
    start = Structure.from_ase(atoms)
    atoms.positions[4, 0] = 6.5
    distance, limit, i, j = hole.tightest_contact(Structure.from_ase(atoms), hole.contact_limits(start))
    assert (distance, sorted((i, j))) == (pytest.approx(1.5), [3, 4])
    assert limit == pytest.approx(0.75 * 2.3)


def test_atoms_on_top_of_each_other_are_the_tightest():
    s = Structure.from_ase(bulk("Si", cubic=True, a=5.43))
    fallen = s.positions.copy()
    fallen[3] = fallen[5]
    distance, _, i, j = hole.tightest_contact(s.with_positions(fallen), hole.contact_limits(s))
    assert (distance, sorted((i, j))) == (pytest.approx(0.0, abs=1e-12), [3, 5])
    assert np.isfinite(hole.contact_limits(s.with_positions(fallen))).all()
