"""The references of silicon's dynamics: what a run shows, its companions, the files."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.potential import Capabilities
from mlipbench.core.structure import Structure
from mlipbench.data.curves import read_curve
from mlipbench.data.references import Manifest
from mlipbench.data.scalars import read_scalars
from mlipbench.potentials.analytic import stillinger_weber_silicon
from mlipbench.potentials.harmonic import HarmonicSolid
from reference_data import dynamics
from reference_data.silicon import md, md_companions, md_references

WAVENUMBER = 300.0  # cm^-1 = 8.99377 THz
PRESSURE_EV_A3 = 0.002


def harmonic_run(n_steps):
    """64 atoms that vibrate at one frequency with random phases, at 300 K; virial without kinetic part."""
    a = md_references.lattice_constant()
    atoms = bulk("Si", cubic=True, a=a) * (2, 2, 2)
    protocol = dynamics.Protocol(3.0, 4, 300.0, 1000.0, 1)
    run = dynamics.start(atoms, atoms.positions, protocol)
    rng = np.random.default_rng(0)
    omega = 2 * np.pi * WAVENUMBER * 2.99792458e-5  # rad/fs
    phase = rng.uniform(0, 2 * np.pi, (64, 3))
    speed = np.sqrt(2 * 8.617333262e-5 * 300.0 / 103.642697 / run.masses[:, None])
    for step in range(1, n_steps + 1):
        run.displacements.append((speed / omega * np.sin(omega * 3.0 * step + phase)).astype(np.float32))
        run.motions.append((speed * np.cos(omega * 3.0 * step + phase)).astype(np.float32))
    kinetic = 1.5 * 63 * 8.617333262e-5 * 300.0
    for n in range(n_steps // 4 + 1):
        run.calls.append([-1000.0 - kinetic + 1e-5 * (-1) ** n, kinetic, 0.0, 6.0, 1e-9, 0.0, 100.0])
        run.stresses.append(np.array([-PRESSURE_EV_A3 + 1e-5 * (-1) ** n] * 3 + [0.0] * 3))
    return run


def companions(run):
    """Runs that scatter by 10 % in g and in the spectrum and by 300 bar, pairs of them by a third of that;
    a long one that agrees with the twin, within 3 % and 90 bar."""
    twin = md_companions.seen(run)
    signs, turned = np.array([1, -1] * 4), np.array([1, 1, -1, -1] * 2)
    own = {name: np.multiply.outer(1 + 0.1 * signs, getattr(twin, name)) for name in ("g", "density")}
    own["pressure"] = twin.pressure + 300.0 * signs
    departed = {
        name: own[name] + np.multiply.outer(0.1 / 3 * turned, getattr(twin, name))
        for name in ("g", "density")
    }
    departed["pressure"] = own["pressure"] + 100.0 * turned
    long = {
        name: md_companions.Average(getattr(twin, name), 0.03 * getattr(twin, name))
        for name in ("g", "density")
    }
    long["pressure"] = md_companions.Average(np.array(twin.pressure), np.array(90.0))
    return md_companions.Companions(twin, own, departed, long, (0.02, 0.03))


@pytest.fixture(scope="module")
def others():
    return companions(harmonic_run(600))


def test_references_of_a_run_are_what_the_run_shows(shipped, others):
    """Oracle: one frequency, one temperature and one virial were put in. A pressure without its kinetic part
    would be 1300 bar too low, one with the sign of the stress 6400; velocities in other units have another
    integral than 189 degrees of freedom.
    """
    md_references.collect(harmonic_run(600), others, shipped / "silicon")
    spectrum = read_curve(shipped / "silicon" / "silicon_pbe_md_vdos.csv")
    assert spectrum.abscissa[spectrum.value.argmax()] == pytest.approx(WAVENUMBER, abs=20)
    integral = np.trapezoid(spectrum.value, spectrum.abscissa)
    assert integral == pytest.approx(189.0, rel=0.03)
    g = read_curve(shipped / "silicon" / "silicon_pbe_md_rdf.csv")
    bond = np.sqrt(3) / 4 * md_references.lattice_constant()
    near = g.abscissa < 3.0
    assert np.average(g.abscissa[near], weights=g.value[near]) == pytest.approx(bond, abs=0.03)
    share = np.hypot(0.1 / 3 * np.sqrt(8 / 7), 0.03)  # of pairs, and of the long run
    np.testing.assert_allclose(g.error[g.value > 1], share * g.value[g.value > 1], rtol=1e-2)
    scalars = read_scalars(shipped / "silicon" / "silicon_pbe_md.yaml")
    pressure = scalars["pressure"]
    volume = md_references.lattice_constant() ** 3 * 8
    expected = (PRESSURE_EV_A3 + 63 * 8.617333262e-5 * 300.0 / volume) * 1602176.634
    assert pressure.converted("bar").value == pytest.approx(expected, abs=10)
    assert pressure.error == pytest.approx(3000 * share, abs=1)
    assert pressure.temperature_K == 300.0
    # To first order dV/V = P/B: 0.5 % here. A wrong sign is off by twice that, the stress of the basis,
    # which is in both pressures, by a tenth.
    thermal = 1e-4 * (expected - md_references.static_pressure()) / 86.6013
    free = scalars["volume_per_atom"]
    assert free.value / 20.5192 - 1 == pytest.approx(thermal, rel=0.03)
    assert free.error / 20.5192 == pytest.approx(3000 * share * 1e-4 / 86.6, rel=0.05)


def test_a_run_is_verified_from_600_steps_on(shipped, others):
    """Shorter ones are entered, drawn, and gate nothing; so is one that drifts."""
    names = ("silicon_pbe_md_rdf", "silicon_pbe_md_vdos", "silicon_pbe_md")
    short = harmonic_run(400)
    for run, beside, verified in ((short, companions(short), False), (harmonic_run(600), others, True)):
        md_references.collect(run, beside, shipped / "silicon")
        manifest = Manifest.load(shipped)
        assert [manifest.entry(name).verified for name in names] == [verified] * 3
        assert len(manifest.curve("silicon_pbe_md_rdf")) > 200
    drifting = harmonic_run(600)
    for n, call in enumerate(drifting.calls):
        call[0] += n * 64 * 2e-3 * 0.012  # 2 meV/atom/ps
    md_references.collect(drifting, others, shipped / "silicon")
    assert not Manifest.load(shipped).entry("silicon_pbe_md").verified


def test_a_twin_takes_chance_out_of_a_run():
    """Oracle: normal deviates of known mean. A run and its twin share 0.97 of theirs: over 500 repeats the
    averages scatter about the truth as their errors say (its standard error is 3 %), and by a third of what
    one run does. A mean in which the twin's potential leaves its own is off by 100 of these errors, a twin
    that is added instead of taken away by 6.
    """
    rng, shared, n_pairs = np.random.default_rng(2), 0.97, 16
    rest, truth, cheap, long_error = np.sqrt(1 - shared**2), 5.0, 40.0, 0.2
    pulls, errors = [], []
    for _ in range(500):
        run, fresh = rng.standard_normal(), rng.standard_normal(n_pairs + 1)
        twin = shared * run + rest * fresh[0]
        own = rng.standard_normal(n_pairs)
        departed = shared * own + rest * fresh[1:]
        series = np.zeros(2)  # too few blocks for an error of their own
        long = md_companions.Average(cheap + long_error * rng.standard_normal(), long_error)
        found = md_companions.average(
            (truth + run, series), (cheap + twin, series), cheap + own, 30.0 + departed, long
        )
        pulls.append((found.value - truth) / found.error)
        errors.append(found.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean(pulls)) < 0.15
    assert np.mean(errors) < 0.35


def test_a_run_that_leaves_its_twin_faster_than_the_pairs_part_is_refused(tmp_path, monkeypatch):
    """Stillinger-Weber in all places. Forces 2 % lower part less than the 3 % of the pairs do; three-body
    forces that are stiffer by 30 % part more. Every start has its own seed: runs that shared the
    kicks of the thermostat would scatter too little."""
    monkeypatch.setattr(md_companions, "LONG_PS", 6.0)
    protocol, seeds, soft = dynamics.Protocol(3.0, 6, 300.0, 500.0, 1), [], stillinger_weber_silicon()

    def drawn(seed):
        seeds.append(seed)
        atoms = bulk("Si", cubic=True, a=5.431)
        sites = atoms.positions.copy()
        dynamics.thermal(atoms, 600.0, np.random.default_rng(seed))
        return dynamics.start(atoms, sites, replace(protocol, seed=seed))

    def run_on(potential):
        run = drawn(protocol.seed)
        return md_companions._moved(run, 26, potential)

    near = run_on(stillinger_weber_silicon(epsilon_eV=0.98 * 2.1683))
    found = md_companions.companions(near, tmp_path / "pairs", drawn, soft)
    assert 0 < found.parting[0] < found.parting[1]
    assert len(set(seeds)) == 1 + md_companions.N_PAIRS
    assert found.own["g"].shape == (md_companions.N_PAIRS, len(found.twin.g))
    far = run_on(stillinger_weber_silicon(lambda_=1.3 * 21.0))
    with pytest.raises(SystemExit, match="expected more"):
        md_companions.companions(far, tmp_path / "pairs", drawn, soft)


class Tied(HarmonicSolid):
    """Every atom on a spring of its own, under a stress that does not change."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        plain = self._capabilities
        self._capabilities = Capabilities(plain.properties | {"stress"}, plain.elements)

    def _evaluate(self, structure, properties):
        found = super()._evaluate(structure, [name for name in properties if name != "stress"])
        return replace(found, stress=-PRESSURE_EV_A3 * np.eye(3)) if "stress" in properties else found


def test_the_long_run_shows_what_the_potential_does_on_average(tmp_path, monkeypatch):
    """Oracle: atoms on springs. The pressure is the virial's and 63 kT/V; the spectrum has 189 degrees of
    freedom about the one frequency; bonds scatter along themselves by sqrt(2 kT/k), the atoms being
    independent. In Verlet's splitting bonds are 1.7 % wider with this step, 1.4 of the tolerance."""
    monkeypatch.setattr(md_companions, "LONG_PS", 60.0)
    monkeypatch.setattr(md_companions, "HIGHEST", 1000.0)
    run = harmonic_run(600)
    run.protocol = replace(run.protocol, relaxation_fs=200.0)  # 0.4 % of the width are chance
    spring = run.masses[0] * 103.642697 * (2 * np.pi * 650 * 2.99792458e-5) ** 2
    structure = Structure(
        numbers=run.numbers, positions=run.sites, cell=run.cell, pbc=np.ones(3, bool), masses=run.masses
    )
    found = md_companions.settled(run, tmp_path, Tied.einstein(structure, spring))
    kt = 8.617333262e-5 * 300.0
    pressure = (PRESSURE_EV_A3 + 63 * kt / structure.volume) * 1602176.634
    assert found["pressure"].value == pytest.approx(pressure, abs=1)
    twin = md_companions.seen(run)
    spectrum = found["density"].value
    assert np.trapezoid(spectrum, twin.wavenumbers) == pytest.approx(
        189.0 * (1 - 0.017), rel=0.01
    )  # the tail of the kicks beyond 1000
    assert twin.wavenumbers[spectrum.argmax()] == pytest.approx(650, abs=10)
    near = twin.r < 3.0
    weights = found["g"].value[near] * twin.r[near] ** 2
    middle = np.average(twin.r[near], weights=weights)
    width = np.sqrt(np.average((twin.r[near] - middle) ** 2, weights=weights) - 0.02**2 / 12)
    assert width == pytest.approx(np.sqrt(2 * kt / spring), rel=0.012)


def test_the_kicks_of_a_start_are_those_of_its_seed(monkeypatch):
    """Runs from other starts under the same kicks are one run after a picosecond."""
    monkeypatch.setattr(md, "PREPARATION_FS", 6.0)
    assert [md.drawn(seed).protocol for seed in (7, 8)] == [
        replace(md.PROTOCOL, seed=seed) for seed in (7, 8)
    ]


def test_the_static_pressure_vanishes_near_the_volume_at_rest():
    """The lattice constant comes from energies, the pressure from stresses: equal but for Pulay's stress."""
    assert abs(md_references.static_pressure()) < 6000  # bar; a sign would not show, 1 % of the edge would
