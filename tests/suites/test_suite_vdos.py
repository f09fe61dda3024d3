"""The suite `vdos`: planted oscillators, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from fakes import Fake, run, verdicts
from test_suite_nve import synthetic

from mlipbench.analysis import vdos
from mlipbench.core.errors import InputError
from mlipbench.core.reference import Curve
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import NVE
from mlipbench.core.units import ACCELERATION, BOLTZMANN, MASS_VELOCITY_SQUARED
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import morse_copper
from mlipbench.potentials.harmonic import HarmonicSolid
from mlipbench_suites.nve import NveDrift
from mlipbench_suites.stability import Stability
from mlipbench_suites.vdos import Spectra

STRUCTURE = {"crystal": "fcc", "symbol": "Cu"}
LEVEL = "planted"
WATER = Structure.from_ase(Atoms("OH2" * 16, positions=np.zeros((48, 3)), cell=9 * np.eye(3), pbc=True))
MODES = {8: [60.0, 120.0, 200.0], 1: [620.0, 1640.0, 3300.0]}
"""Wavenumbers of x, y, z of the atoms of an element."""


def oscillating(modes=MODES, shift=0.0, start=WATER, ps=40.0, every_fs=2.0, seed=0, temperature=300.0):
    """Atoms in wells of their own, each with about kT; every 4 ps amplitudes and phases are drawn anew."""
    rng = np.random.default_rng(seed)
    n, segments = len(start), round(ps / 4)
    omega = np.array([modes[z] for z in start.numbers]) + shift
    omega = 2 * np.pi * omega / vdos.PER_FS_IN_WAVENUMBERS
    scale = np.sqrt(BOLTZMANN * temperature * ACCELERATION / start.masses)[:, None]
    t = every_fs * np.arange(round(4000 / every_fs))[:, None, None]
    parts = []
    for _ in range(segments):
        amplitude = np.sqrt(2) * scale * (1 + 0.03 * rng.standard_normal((n, 3)))
        parts.append(amplitude * np.cos(omega * t + rng.uniform(0, 2 * np.pi, (n, 3))))
    velocities = np.concatenate(parts)
    weight = start.masses / start.masses.sum()
    velocities -= np.einsum("i,fij->fj", weight, velocities)[:, None]
    kinetic = 0.5 * MASS_VELOCITY_SQUARED * (start.masses[:, None] * velocities**2).sum(axis=(1, 2))
    base = synthetic(ps=ps, dt=1.0, start=start, stride=10, temperature=temperature)
    at = np.minimum(base.steps // round(every_fs), len(kinetic) - 1)
    return replace(
        base,
        kinetic_energy=kinetic[at],
        temperature=2 * kinetic[at] / ((3 * n - 3) * BOLTZMANN),
        potential_energy=-4.3 * n + kinetic[at],
        frame_steps=np.arange(len(velocities)) * round(every_fs),
        positions=np.zeros_like(velocities),
        velocities=velocities,
        cells=np.repeat(start.cell[None], len(velocities), axis=0),
    )


def spectrum(trajectory, name=None, temperature=300.0, relative=0.02):
    """The spectrum of a trajectory as a reference."""
    s = trajectory.structure
    found = vdos.VelocitySpectrum(s.numbers, s.masses, 2.0, 2000.0)
    found.add(trajectory.velocities)
    spectra = found.spectra(temperature)
    y = spectra.density.sum(axis=0) if name is None else spectra.density[spectra.species.index(name)]
    x = spectra.wavenumbers
    return Curve("nu", x, "cm^-1", "D", y, "1", relative * y, LEVEL, "this test", temperature, None)


def measure(trajectory, references=None, use=300.0, **params):
    references = references or {}
    fake = Fake(
        start=trajectory.structure,
        given={"run": trajectory},
        use=IntendedUse(use),
        references={f"ours-{name}": c for name, c in references.items()},
    )
    asked = {name: {"reference": f"ours-{name}"} for name in references}
    return run(
        Spectra,
        fake,
        structure=STRUCTURE,
        timestep_fs=1.0,
        equilibrate_ps=0.0,
        level_of_theory=LEVEL,
        references=asked,
        **params,
    )


def test_water_has_its_bands_and_its_degrees_of_freedom():
    """Oracle: planted wavenumbers; each of 9 modes of a molecule carries kT."""
    outcome, m = measure(oscillating())
    found = verdicts(Spectra, outcome)
    assert m["degrees_of_freedom@300K"].value == pytest.approx(141, rel=0.03)
    assert found["freedom_error@300K"] == found["aliased_weight@300K"] == "PASS"
    for name, centre in (("stretch", 3300), ("bend", 1640), ("libration", 620)):
        band = m[f"band_centre@300K,band={name}"]
        assert band.value == pytest.approx(centre, abs=5)
        assert found[f"band_outside@300K,band={name}"] == "PASS"
    translation = m["band_centre@300K,band=translation"]
    assert translation.value == pytest.approx(np.mean(MODES[8]), abs=10)
    assert m["band_weight@300K,band=stretch"].value == pytest.approx(1.0, rel=0.05)  # 2 of 9
    for species in ("H", "O"):
        assert m[f"equipartition@300K,species={species}"].value == pytest.approx(1.0, abs=0.05)
    assert {t.id for t in outcome.tables} == {"vdos-freedom", "vdos-bands"}
    assert {f.id for f in outcome.figures} == {"vdos-total-300K", "vdos-H-300K", "vdos-O-300K"}


def test_stretch_outside_its_window_fails():
    outcome, m = measure(oscillating({**MODES, 1: [620.0, 1640.0, 3800.0]}))
    assert m["band_outside@300K,band=stretch"].value == pytest.approx(300, abs=5)
    found = verdicts(Spectra, outcome)
    assert (found["band_outside@300K,band=stretch"], found["band_outside@300K,band=bend"]) == ("FAIL", "PASS")


def test_missing_band_fails():
    outcome, _ = measure(oscillating({**MODES, 1: [620.0, 3200.0, 3300.0]}))
    assert verdicts(Spectra, outcome)["band_weight@300K,band=bend"] == "FAIL"


def test_bands_are_parameters():
    band = {"species": "O", "range_per_cm": [0, 300], "window_per_cm": [150, 250]}
    _outcome, m = measure(oscillating(), bands={"low": band})
    assert m["band_outside@300K,band=low"].value == pytest.approx(150 - np.mean(MODES[8]), abs=10)
    assert "band_weight@300K,band=low" not in m  # without a share
    _, m = measure(oscillating(), bands={})
    assert not any(key.startswith("band") for key in m)


def test_distance_of_a_moved_spectrum_is_its_shift():
    """Oracle: 100 cm^-1. The floor says what a run of this length gives without any shift."""
    references = {"total": spectrum(oscillating(seed=9)), "H": spectrum(oscillating(seed=9), 1)}
    _, m = measure(oscillating(shift=100.0), references)
    for name in ("total", "H"):
        assert m[f"spectrum_w1@300K,species={name}"].value == pytest.approx(100, abs=4)
        width = vdos.width(references[name].abscissa, references[name].value)
        distance = m[f"spectrum_distance@300K,species={name}"]
        assert distance.value == pytest.approx(100 / width, rel=0.05)
        assert m[f"spectrum_noise_floor@300K,species={name}"].value < 10
    outcome, m = measure(oscillating(), references)
    found = verdicts(Spectra, outcome)
    assert found["spectrum_distance@300K,species=total"] == "PASS"
    assert m["spectrum_w1@300K,species=total"].value < 3 * m["spectrum_noise_floor@300K,species=total"].value


def test_another_temperature_is_drawn_alone():
    reference = replace(spectrum(oscillating(seed=9)), temperature_K=330.0)
    outcome, _ = measure(oscillating(), {"total": reference})
    assert "spectrum_distance@300K,species=total" not in verdicts(Spectra, outcome)
    assert any("it is at 330 K" in note for note in outcome.notes)


def test_scaled_velocities_do_not_count_the_degrees_of_freedom():
    """Velocities in another unit, or of other masses than the monitors', show in the integral."""
    wrong = oscillating()
    outcome, m = measure(replace(wrong, velocities=1.05 * wrong.velocities))
    assert m["freedom_error@300K"].value == pytest.approx(10.25, abs=0.5)
    assert verdicts(Spectra, outcome)["freedom_error@300K"] == "FAIL"


def test_too_slow_sampling_shows():
    """A mode near half the sampling rate is no mode: what is faster is folded back there."""
    outcome, _ = measure(oscillating({8: MODES[8], 1: [620.0, 1640.0, 7500.0]}))
    assert verdicts(Spectra, outcome)["aliased_weight@300K"] == "FAIL"
    with pytest.raises(ValueError, match="less than or equal to 3"):
        Spectra.Params(structure=STRUCTURE, velocity_every_fs=4.0)


def test_only_heavy_atoms_may_be_seen_every_3_fs():
    """Half the sampling rate is 5560 cm^-1: above N2 at 2330, too near H2 at 4400."""
    params = Spectra.Params(structure=STRUCTURE, timestep_fs=3.0, velocity_every_fs=3.0)
    found = Spectra().trajectories(params, Fake(start=COPPER, use=IntendedUse(300.0)))
    assert found["run"].frame_stride == 1
    with pytest.raises(InputError, match="velocity_every_fs of 3 with H: expected at most 2 fs"):
        Spectra().trajectories(params, Fake(start=WATER, use=IntendedUse(300.0)))


def test_a_thermostat_that_blurs_is_refused():
    for strong in ({"relaxation_fs": 200.0}, {"friction_per_fs": 0.005}):
        with pytest.raises(ValueError, match="than or equal to"):
            Spectra.Params(structure=STRUCTURE, ensemble="langevin", **strong)


def test_short_run_is_inconclusive():
    outcome, m = measure(oscillating(ps=4.0), correlation_fs=3000.0)
    assert m["freedom_error@300K"].value is None
    assert verdicts(Spectra, outcome)["freedom_error@300K"] == "INCONCLUSIVE"
    assert any("takes 6 ps" in note for note in outcome.notes)


def test_elements_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="expected total or H, O, as in the structure, got Si"):
        measure(oscillating(), {"Si": spectrum(oscillating())})
    with pytest.raises(ValueError, match="expected total or an element, got all"):
        Spectra.Params(structure=STRUCTURE, references={"all": {"reference": "x"}})


def test_constant_energy_shares_the_run_of_nve():
    fake = Fake(start=WATER, use=IntendedUse(300.0))
    ours = Spectra().trajectories(Spectra.Params(structure=STRUCTURE, ensemble="nve"), fake)
    theirs = NveDrift().trajectories(NveDrift.Params(structure=STRUCTURE, temperatures_K=[300.0]), fake)
    assert ours["run"].key("p") == theirs["nve@300K"].key("p")
    assert ours["prepare"].key("p") == theirs["prepare@300K"].key("p")
    assert ours["run"].ensemble == NVE()
    assert ours["run"].frame_stride == 4  # 2 fs in steps of 0.5 fs


def test_langevin_dynamics_shares_the_run_of_stability():
    fake = Fake(start=COPPER, use=IntendedUse(300.0))
    how = {"structure": STRUCTURE, "timestep_fs": 2.0, "friction_per_fs": 0.001}
    ours = Spectra().trajectories(Spectra.Params(**how, ensemble="langevin"), fake)
    theirs = Stability().trajectories(Stability.Params(**how), fake)
    assert ours["run"].key("p") == theirs["nvt@300K#0"].key("p")


def test_constant_energy_may_miss_its_temperature_by_chance():
    """Oracle: a canonical energy of 144 harmonic degrees has a spread of 8 % in T: 12 % is chance."""
    for factor, verdict in ((1.12, "PASS"), (1.4, "INCONCLUSIVE")):
        warm = oscillating(temperature=300.0 * factor)
        given = {"run": warm, "prepare": synthetic(ps=5.0, start=WATER)}
        fake = Fake(start=WATER, given=given, use=IntendedUse(300.0))
        outcome, _ = run(Spectra, fake, structure=STRUCTURE, timestep_fs=1.0, ensemble="nve")
        assert verdicts(Spectra, outcome)["freedom_error@300K"] == verdict
    _, m = measure(oscillating(temperature=336.0))  # of a thermostat it is no chance
    assert m["freedom_error@300K"].value is None


# ---------------------------------------------------------------- real runs
COPPER = Structure.from_ase(bulk("Cu", cubic=True, a=3.6) * (2, 2, 1))


def real(potential, folder, reference=None, seed=1):
    fake = Fake(
        start=COPPER,
        potential=potential,
        folder=folder,
        use=IntendedUse(900.0),
        seed=seed,
        references={"ours": reference},
    )
    asked = {"total": {"reference": "ours"}} if reference is not None else {}
    outcome, m = run(
        Spectra,
        fake,
        structure=STRUCTURE,
        timestep_fs=2.0,
        duration_ps=24.0,
        correlation_fs=1000.0,
        level_of_theory=LEVEL,
        references=asked,
    )
    return outcome, m, fake


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The potential's own spectrum from another seed, as its reference."""
    potential = morse_copper(switch_from_A=3.5, cutoff_A=4.5)
    _, m, fake = real(potential, tmp_path_factory.mktemp("reference"), seed=7)
    assert m["freedom_error@900K"].value == pytest.approx(0, abs=0.5)
    return potential, spectrum(fake.trajectory("run"), temperature=900.0)


def test_real_control_passes(sound, tmp_path):
    potential, reference = sound
    outcome, m, _ = real(potential, tmp_path, reference)
    found = verdicts(Spectra, outcome)
    assert "FAIL" not in found.values()
    assert found["freedom_error@900K"] == found["aliased_weight@900K"] == "PASS"
    assert m["spectrum_distance@900K,species=total"].value < 0.1


def test_real_softened_twin_fails(sound, tmp_path):
    """Oracle: forces of 0.6 make frequencies of sqrt 0.6; the centroid falls by at least 22 %."""
    potential, reference = sound
    outcome, m, _ = real(faulty.softened(potential, 0.6), tmp_path, reference)
    assert verdicts(Spectra, outcome)["spectrum_distance@900K,species=total"] == "FAIL"
    assert m["spectrum_w1@900K,species=total"].value > 20


@pytest.mark.parametrize("ensemble", ["langevin", "velocity_rescaling"])
def test_a_friction_widens_lines_and_gives_every_vibration_its_kt(ensemble, tmp_path):
    """Oracle: copper on springs, stiff ones along z, which share no energy. A friction gamma damps the
    correlation by exp(-gamma t/2): under a window of 2 ps a peak keeps 0.76 of its height, with half as much
    friction more 0.66. Rescaling damps nothing, and leaves the stiff ones what they had at the start.
    """
    nu = np.tile([120.0, 120.0, 240.0], len(COPPER))
    springs = COPPER.masses[0] * (2 * np.pi * nu / vdos.PER_FS_IN_WAVENUMBERS) ** 2 / ACCELERATION
    solid = HarmonicSolid(COPPER, np.diag(springs))
    fake = Fake(start=COPPER, potential=solid, folder=tmp_path, use=IntendedUse(900.0))
    run(Spectra, fake, structure=STRUCTURE, timestep_fs=2.0, duration_ps=200.0, ensemble=ensemble)
    found = vdos.VelocitySpectrum(COPPER.numbers, COPPER.masses, 2.0, 2000.0)
    found.add(fake.trajectory("run").velocities[1000:])
    spectra = found.spectra(900.0)
    stiff = len(COPPER) - 1
    share = spectra.integral(200.0, 280.0).sum() / stiff
    height = spectra.density.sum(axis=0)[spectra.wavenumbers > 200].max() / stiff
    kept = height / (2000.0 / vdos.PER_FS_IN_WAVENUMBERS)
    if ensemble == "langevin":
        assert share == pytest.approx(1.0, abs=0.06)
        assert kept == pytest.approx(0.76, abs=0.06)
    else:
        assert kept / share == pytest.approx(1.0, abs=0.06)
