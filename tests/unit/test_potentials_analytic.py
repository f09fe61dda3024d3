import inspect

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones as AseLennardJones
from potential_contract import PotentialContract, rattled

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.core.units import ACCELERATION, COULOMB, EV_PER_A3_IN_GPA
from mlipbench.potentials import analytic


def atoms_of(*args, repeat=1, **kwargs):
    return bulk(*args, cubic=True, **kwargs).repeat(repeat)


def crystal(*args, **kwargs):
    return Structure.from_ase(atoms_of(*args, **kwargs))


def scaled(structure, factor):
    return structure.with_positions(structure.positions * factor, structure.cell * factor)


def strained(structure, strain):
    deformation = np.eye(3) + strain
    return structure.with_positions(structure.positions @ deformation, structure.cell @ deformation)


def equilibrium(potential, structure, width=0.02):
    """Scale factor and energy per atom at the minimum of a cubic crystal, by a fitted quartic."""
    factors = np.linspace(1 - width, 1 + width, 9)
    energies = [
        a.energy / len(structure) for a in potential.evaluate([scaled(structure, f) for f in factors])
    ]
    fit = np.polynomial.Polynomial.fit(factors, energies, 6)
    roots = fit.deriv().roots()
    best = min(roots[np.abs(roots.imag) < 1e-9].real, key=lambda x: abs(x - 1))
    return best, fit(best)


SILICON = crystal("Si", "diamond", a=5.431)
ARGON = crystal("Ar", "fcc", a=5.26, repeat=2)
COPPER = crystal("Cu", "fcc", a=3.615, repeat=2)
SALT = crystal("NaCl", "rocksalt", a=5.64)


class TestStillingerWeber(PotentialContract):
    @pytest.fixture
    def potential(self):
        return analytic.stillinger_weber_silicon()

    @pytest.fixture
    def structure(self):
        return SILICON

    def test_lattice_constant_and_cohesive_energy(self, potential):
        # Published: 5.431 A, -2 epsilon by construction. A wrong digit of A, B or sigma moves either.
        factor, energy = equilibrium(potential, SILICON)
        assert 5.431 * factor == pytest.approx(5.4310, abs=5e-4)
        assert energy == pytest.approx(-2 * 2.1683, abs=1e-6)

    def test_elastic_constants(self, potential):
        # Published (Balamane, Halicioglu, Tiller, PRB 46, 2250 (1992)): 151.4, 76.4, 56.4 GPa, the last
        # with the inner displacement relaxed (117.2 without). A wrong lambda moves all.
        h = 1e-3
        stress = lambda e: self.relaxed_stress(potential, strained(SILICON, e))  # noqa: E731
        uniaxial, shear = np.zeros((3, 3)), np.zeros((3, 3))
        uniaxial[0, 0] = h
        shear[1, 2] = shear[2, 1] = h / 2
        first = (stress(uniaxial) - stress(-uniaxial)) / (2 * h) * EV_PER_A3_IN_GPA
        second = (stress(shear) - stress(-shear)) / (2 * h) * EV_PER_A3_IN_GPA
        assert first[0, 0] == pytest.approx(151.4, abs=0.3)
        assert first[1, 1] == pytest.approx(76.4, abs=0.3)
        assert second[1, 2] == pytest.approx(56.4, abs=0.3)

    @staticmethod
    def relaxed_stress(potential, structure):
        """Stress at zero forces: steps of 1/k along the forces, k of the order of the optical mode's."""
        for _ in range(200):
            answer = potential.evaluate([structure], ("forces", "stress"))[0]
            if np.abs(answer.forces).max() < 1e-9:
                break
            structure = structure.with_positions(structure.positions + 0.04 * answer.forces)
        return answer.stress

    def test_moments_equal_the_sum_over_triplets(self, potential):
        # Oracle: the published double sum over pairs and triplets, written with loops.
        structure = rattled(SILICON, 5)
        p = potential.parameters
        images = [
            (j, structure.positions[j] + np.array(s) @ structure.cell)
            for j in range(len(structure))
            for s in np.ndindex(3, 3, 3)
            for s in [np.array(s) - 1]
        ]
        total = 0.0
        for x in structure.positions:
            around = [y - x for _, y in images if 0 < np.linalg.norm(y - x) < p.a * p.sigma]
            lengths = [np.linalg.norm(v) / p.sigma for v in around]
            total += sum(0.5 * p.A * p.epsilon * (p.B * r**-4 - 1) * np.exp(1 / (r - p.a)) for r in lengths)
            for j in range(len(around)):
                for k in range(j):
                    cosine = around[j] @ around[k] / (lengths[j] * lengths[k] * p.sigma**2)
                    decay = np.exp(p.gamma / (lengths[j] - p.a) + p.gamma / (lengths[k] - p.a))
                    total += p.lambda_ * p.epsilon * decay * (cosine + 1 / 3) ** 2
        assert potential.evaluate([structure])[0].energy == pytest.approx(total, rel=1e-12)

    def test_foreign_elements_are_refused(self, potential):
        with pytest.raises(PotentialError, match=r"\[14\].*\[18\]"):
            potential.evaluate([ARGON])

    def test_replica_gone_wrong_leaves_the_others_alone(self, potential):
        positions = np.stack([SILICON.positions] * 2)
        cells = np.stack([SILICON.cell] * 2)
        bound = potential.bind(SILICON, 2)
        sound = bound(positions, cells, True)
        positions[1, 3, 0] = np.nan
        answer = bound(positions, cells, True)
        assert answer.energies[0] == sound.energies[0]
        assert np.isfinite(answer.forces[0]).all()
        assert np.isnan(answer.energies[1])
        assert np.isnan(answer.forces[1]).all()
        assert np.isnan(answer.stresses[1]).all()

    def test_wrong_shape_is_named(self, potential):
        with pytest.raises(PotentialError, match=r"\(2, 8, 3\).*\(1, 8, 3\)"):
            potential.bind(SILICON, 2)(SILICON.positions[None], SILICON.cell[None], False)

    def test_parameters_and_source_are_the_identity(self):
        same = analytic.stillinger_weber_silicon().identity
        other = analytic.stillinger_weber_silicon(lambda_=25.0).identity
        assert same.key == analytic.stillinger_weber_silicon().identity.key
        assert same.key != other.key

    def test_stress_without_volume_is_refused(self, potential):
        dimer = Structure.from_ase(molecule("Si2"))
        assert potential.evaluate([dimer])[0].energy < 0
        with pytest.raises(PotentialError, match="cell"):
            potential.evaluate([dimer], ("stress",))


class TestLennardJones(PotentialContract):
    @pytest.fixture
    def potential(self):
        return analytic.lennard_jones_argon()

    @pytest.fixture
    def structure(self):
        return ARGON

    def test_equals_ase_inside_the_switch(self, potential):
        # Independent code, on a cluster with no pair in the switched range.
        atoms = bulk("Ar", "fcc", a=5.0, cubic=True)
        atoms.pbc = False
        atoms.rattle(0.3, seed=1)
        atoms.calc = AseLennardJones(
            epsilon=potential.epsilon, sigma=potential.sigma, rc=8.5, ro=7.0, smooth=True
        )
        answer = potential.evaluate([Structure.from_ase(atoms)])[0]
        assert answer.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(answer.forces, atoms.get_forces(), atol=1e-14)

    def test_energy_force_and_its_slope_end_at_the_cutoff(self, potential):
        # Energy ~ t^3 before the cutoff: ten times nearer, a thousand times smaller.
        def at(gap):
            dimer = Structure.from_ase(bulk("Ar", "fcc", a=5.0, cubic=True)[:2])
            positions = np.array([[0.0, 0, 0], [8.5 - gap, 0, 0]])
            far = dimer.with_positions(positions, 40.0 * np.eye(3))
            answer = potential.evaluate([far])[0]
            return answer.energy, answer.forces[0, 0]

        assert at(0.01)[0] / at(0.001)[0] == pytest.approx(1000, rel=0.05)
        assert at(0.01)[1] / at(0.001)[1] == pytest.approx(100, rel=0.05)
        assert at(-1e-9) == (0.0, 0.0)


class TestMorse(PotentialContract):
    @pytest.fixture
    def potential(self):
        return analytic.morse_copper()

    @pytest.fixture
    def structure(self):
        return COPPER

    def test_dimer(self, potential):
        # Analytic: depth D at r0, force constant 2 D alpha^2, inflection at r0 + ln 2 / alpha.
        def energy(r):
            positions = np.array([[0.0, 0, 0], [0, r, 0]])
            dimer = Structure(np.array([29, 29]), positions, np.zeros((3, 3)), np.zeros(3, bool), np.ones(2))
            return potential.evaluate([dimer])[0].energy

        assert energy(2.866) == pytest.approx(-0.3429, rel=1e-12)
        h = 1e-3
        curvature = (energy(2.866 + h) - 2 * energy(2.866) + energy(2.866 - h)) / h**2
        assert curvature == pytest.approx(2 * 0.3429 * 1.3588**2, rel=1e-5)
        assert energy(2.866 + np.log(2) / 1.3588) == pytest.approx(-0.75 * 0.3429, rel=1e-12)

    def test_copper_crystal(self, potential):
        # The parameters were fitted to a = 3.615 A and 3.50 eV/atom; the cutoff costs a little.
        factor, energy = equilibrium(potential, COPPER)
        assert 3.615 * factor == pytest.approx(3.615, abs=0.02)
        assert energy == pytest.approx(-3.5, abs=0.06)


class TestNeighbourSprings(PotentialContract):
    @pytest.fixture
    def potential(self):
        return analytic.harmonic_argon()

    @pytest.fixture
    def structure(self):
        return ARGON

    def test_frequencies_at_the_zone_boundary(self, potential):
        # Analytic: fcc with central springs k between nearest neighbours has, at the three X points
        # that the cubic cell folds to Gamma, m omega^2 = 8 k once and 4 k twice.
        cell = crystal("Ar", "fcc", a=5.26)
        matrix, h = np.zeros((12, 12)), 1e-4
        for column in range(12):
            step = np.zeros(12)
            step[column] = h
            ahead, behind = (
                potential.evaluate([cell.with_positions(cell.positions + s * step.reshape(4, 3))])[0].forces
                for s in (1, -1)
            )
            matrix[:, column] = -(ahead - behind).ravel() / (2 * h)
        squares = np.sort(np.linalg.eigvalsh(0.5 * (matrix + matrix.T)))
        np.testing.assert_allclose(squares, [0] * 3 + [4] * 6 + [8] * 3, atol=1e-5)

    def test_crystal_is_its_own_minimum(self, potential):
        answer = potential.evaluate([ARGON], ("forces", "stress"))[0]
        assert np.abs(answer.forces).max() < 1e-12
        assert np.abs(answer.stress).max() < 1e-12

    def test_bond_breaks_monotonically(self, potential):
        # No barrier and no hole between the spring and the end of the bond.
        r = np.linspace(0.8, 1.349, 400) * potential.r0
        positions = np.zeros((len(r), 2, 3))
        positions[:, 1, 2] = r
        dimer = Structure(np.array([18, 18]), positions[0], 30 * np.eye(3), np.ones(3, bool), np.ones(2))
        energies = potential.bind(dimer, len(r))(
            positions, np.stack([30 * np.eye(3)] * len(r)), False
        ).energies
        assert (np.diff(energies[r < potential.r0]) < 0).all()
        assert (np.diff(energies[r > potential.r0]) > 0).all()


class TestBornMayer(PotentialContract):
    @pytest.fixture
    def potential(self):
        return analytic.born_mayer_nacl()

    @pytest.fixture
    def structure(self):
        return SALT

    @pytest.mark.parametrize("cutoff", [5.0, 9.0])
    def test_madelung_constant_of_rock_salt(self, cutoff):
        # 1.74756459463318 (OEIS A085469). The splitting must not matter: either sum alone is wrong.
        bare = analytic.BornMayerCoulomb("bare", {11: 1.0, 17: -1.0}, {}, 0.3, cutoff)
        answer = bare.evaluate([SALT], ("energy", "stress"))[0]
        madelung = -answer.energy / 4 * 2.82 / COULOMB
        assert madelung == pytest.approx(1.74756459463318, abs=2e-9)
        # A Coulomb energy scales as 1/length: tr(stress) V = -E.
        assert np.trace(answer.stress) * SALT.volume == pytest.approx(-answer.energy, rel=1e-8)

    def test_madelung_constant_of_caesium_chloride(self):
        # 1.76267477307099 per pair, in units of the nearest distance (OEIS A181152).
        atoms = bulk("NaCl", "cesiumchloride", a=3.0)
        bare = analytic.BornMayerCoulomb("bare", {11: 1.0, 17: -1.0}, {}, 0.3)
        energy = bare.evaluate([Structure.from_ase(atoms)])[0].energy
        assert -energy * 3.0 * np.sqrt(3) / 2 / COULOMB == pytest.approx(1.76267477307099, abs=2e-9)

    def test_rock_salt_crystal(self, potential):
        # Kittel: R0 = 2.820 A, -1.75 k/R0 (1 - rho/R0) = -7.9 eV a pair. Three digits of the
        # parameters move R0; the repulsion of further shells, left out of the formula, is 2e-4.
        factor, energy = equilibrium(potential, SALT)
        assert 2.82 * factor == pytest.approx(2.82, abs=0.01)
        r = 2.82 * factor
        assert 2 * energy == pytest.approx(-1.7475645946 * COULOMB / r * (1 - 0.321 / r), rel=5e-4)

    def test_a_charged_or_open_system_is_refused(self, potential):
        with pytest.raises(PotentialError, match="net charge of 1"):
            potential.evaluate([Structure.from_ase(atoms_of("NaCl", "rocksalt", a=5.64)[:1])])
        slab = atoms_of("NaCl", "rocksalt", a=5.64)
        slab.pbc = (True, True, False)
        with pytest.raises(PotentialError, match="pbc"):
            potential.evaluate([Structure.from_ase(slab)])


class TestHarmonicSolid:
    REFERENCE = crystal("Ar", "fcc", a=5.26)

    def test_einstein_energy_forces_frequencies(self):
        # Analytic: E = k u^2 / 2, omega = sqrt(k / m).
        trap = analytic.HarmonicSolid.einstein(self.REFERENCE, 0.7)
        moved = rattled(self.REFERENCE, 1)
        u = moved.positions - self.REFERENCE.positions
        answer = trap.evaluate([moved], ("energy", "forces", "energies"))[0]
        assert answer.energy == pytest.approx(0.35 * (u * u).sum(), rel=1e-12)
        np.testing.assert_allclose(answer.forces, -0.7 * u, atol=1e-14)
        np.testing.assert_allclose(answer.energies, 0.35 * (u * u).sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(trap.frequencies(), np.sqrt(0.7 / 39.95 * ACCELERATION), rtol=1e-4)

    def test_frequencies_of_a_spring_between_two_masses(self):
        # Analytic: one mode with the reduced mass, omega^2 = k (1/m1 + 1/m2), five without restoring force.
        pair = Structure(
            np.array([1, 17]), np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(3, bool), np.array([1.0, 35.0])
        )
        spring = np.zeros((6, 6))
        spring[np.ix_([0, 3], [0, 3])] = 2.0 * np.array([[1, -1], [-1, 1]])
        frequencies = analytic.HarmonicSolid(pair, spring).frequencies()
        assert frequencies[-1] == pytest.approx(np.sqrt(2.0 * (1 + 1 / 35.0) * ACCELERATION), rel=1e-12)
        np.testing.assert_allclose(frequencies[:-1], 0, atol=1e-8)

    def test_replicas_equal_single_answers(self):
        trap = analytic.HarmonicSolid.einstein(self.REFERENCE, 0.7)
        frames = [rattled(self.REFERENCE, seed) for seed in range(3)]
        answer = trap.bind(self.REFERENCE, 3)(
            np.stack([f.positions for f in frames]), np.stack([f.cell for f in frames]), False
        )
        assert answer.energies.tolist() == [a.energy for a in trap.evaluate(frames)]

    def test_bad_force_constants_and_structures_are_refused(self):
        with pytest.raises(PotentialError, match=r"\(12, 12\).*\(3, 3\)"):
            analytic.HarmonicSolid(self.REFERENCE, np.eye(3))
        with pytest.raises(PotentialError, match="symmetric"):
            analytic.HarmonicSolid(self.REFERENCE, np.triu(np.ones((12, 12))))
        with pytest.raises(PotentialError, match="reference of 4 atoms"):
            analytic.HarmonicSolid.einstein(self.REFERENCE, 1.0).evaluate([SILICON])


def test_a_list_of_unlike_structures_keeps_its_order():
    potential = analytic.harmonic_argon()
    small, large = crystal("Ar", "fcc", a=5.26), ARGON
    mixed = [rattled(small, 0), rattled(large, 1), rattled(large, 2), rattled(small, 3)]
    assert [a.energy for a in potential.evaluate(mixed)] == [potential.evaluate([s])[0].energy for s in mixed]


def test_factories_take_keyword_arguments_with_units():
    for factory in ("stillinger_weber_silicon", "lennard_jones_argon", "morse_copper", "born_mayer_nacl"):
        names = inspect.signature(getattr(analytic, factory)).parameters
        assert all(n.endswith(("_eV", "_A", "_per_A", "_e", "lambda_")) for n in names), names
