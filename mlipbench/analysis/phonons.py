"""Lattice dynamics from finite displacements in a supercell, on phonopy with every argument explicit.

Phi_ij = -dF_j/du_i is solved from the forces of displaced supercells and the crystal's symmetry (Parlinski,
Li, Kawazoe, Phys. Rev. Lett. 78, 4063 (1997)). The frequencies at a wave vector q are

    D(q) e = (2 pi f)^2 e,   D_ij(q) = (m_i m_j)^(-1/2) sum_R Phi_i0,jR exp(iq.R),

negative where D has a negative eigenvalue: f = -sqrt(-lambda), an imaginary mode. They are exact at the wave
vectors that the supercell holds, and interpolated in between. phonopy is imported where it is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.reference import PhononReference
from mlipbench.core.structure import FloatArray, IntArray, Structure
from mlipbench.core.units import ACCELERATION, COULOMB

THZ = float(np.sqrt(ACCELERATION)) * 1e3 / (2.0 * np.pi)
"""sqrt(eV/A^2/u) in THz."""
ON_GAMMA = 1e-8  # wave vectors closer to a reciprocal lattice vector than this are Gamma
N_ACOUSTIC = 3


@dataclass(frozen=True, eq=False)
class Crystal:
    """A unit cell, the supercell that is displaced, and the primitive cell whose wave vectors are meant."""

    unit_cell: Structure
    supercell_matrix: IntArray  # (3, 3) supercell from unit cell, as in phonopy
    primitive_matrix: FloatArray  # (3, 3) primitive cell from unit cell
    tolerance: float  # A, within which symmetry is found

    @cached_property
    def _searched(self) -> Any:
        """phonopy with the symmetry of the supercell found, which is what takes its time."""
        return _phonopy(self)

    @property
    def reduces(self) -> bool:
        """Whether the unit cell has the translations of the primitive cell; a distorted one has lost them."""
        try:
            return len(self._searched.primitive) > 0
        except RuntimeError:  # of phonopy: the supercell does not trim to the primitive cell
            return False

    def phonopy(self) -> Any:
        """A `Phonopy` of its own: what is set in it stays in it."""
        return copy(self._searched)

    @property
    def supercell(self) -> Structure:
        """The supercell, its atoms in the order of `Displacements` and of the forces."""
        return _structure(self._searched.supercell, self.unit_cell)

    @property
    def primitive(self) -> Structure:
        """The primitive cell, its atoms in the order of a mode's amplitudes."""
        return _structure(self._searched.primitive, self.unit_cell)


@dataclass(frozen=True, eq=False)
class Displacements:
    """One atom of the supercell is moved at a time; every move is made to both sides."""

    atoms: IntArray  # (n_moves,) index in the supercell
    vectors: FloatArray  # (n_moves, 3) A

    def scaled(self, factor: float) -> Displacements:
        """The same moves, longer."""
        return Displacements(self.atoms, factor * self.vectors)

    def structures(self, supercell: Structure) -> list[Structure]:
        """The supercell after each move."""
        moved = []
        for atom, vector in zip(self.atoms, self.vectors, strict=True):
            positions = supercell.positions.copy()
            positions[atom] += vector
            moved.append(supercell.with_positions(positions))
        return moved


@dataclass(frozen=True)
class Violation:
    """What force constants lack of the two rules that every energy obeys, before they are imposed."""

    sum_rule: float  # largest component of sum_j Phi_ij, eV/A^2: translating the crystal costs nothing
    asymmetry: float  # largest |Phi_ij - Phi_ji^T|, eV/A^2: second derivatives commute
    asymmetry_rms: float  # the same, root mean square
    scale: float  # largest component of all, eV/A^2


@dataclass(frozen=True, eq=False)
class Path:
    """Wave vectors along straight lines between special points."""

    segments: list[FloatArray]  # (n_points, 3) each, fractional
    labels: list[tuple[str, str]]  # of their ends
    distances: list[FloatArray]  # (n_points,) each, 1/A with 2 pi, going on from one to the next


def crystal(unit_cell: Structure, multiples: Sequence[int], tolerance: float) -> Crystal:
    """A crystal whose supercell is (n1, n2, n3) unit cells. Raises DataError for a cell without volume."""
    from phonopy.structure.cells import guess_primitive_matrix

    if unit_cell.volume < ON_GAMMA:
        raise DataError(
            f"phonons need a cell that spans space, got {unit_cell.cell.tolist()}: put vacuum around the "
            "atoms"
        )
    primitive = np.array(guess_primitive_matrix(_atoms(unit_cell), symprec=tolerance), dtype=np.float64)
    if not unit_cell.pbc.all():
        primitive = np.eye(3)
    return Crystal(unit_cell, np.diag(np.array(multiples, dtype=np.int64)), primitive, tolerance)


def thickness(structure: Structure) -> float:
    """Smallest distance in A between opposite faces of the cell, periodic axes alone."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    return float(heights[structure.pbc].min())


def multiples(cell: Structure, shortest_A: float) -> tuple[int, int, int]:
    """Fewest unit cells along each periodic axis that are `shortest_A` thick."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell.cell), axis=0)
    n = np.where(cell.pbc, np.maximum(np.ceil(shortest_A / heights - 1e-6), 1), 1).astype(int)
    return int(n[0]), int(n[1]), int(n[2])


def displacements(c: Crystal, distance_A: float) -> Displacements:
    """The moves from which the symmetry of the crystal makes all others."""
    phonon = c.phonopy()
    phonon.generate_displacements(distance=distance_A, is_plusminus=True, is_diagonal=True, is_trigonal=False)
    first = phonon.dataset["first_atoms"]
    return Displacements(
        np.array([move["number"] for move in first], dtype=np.int64),
        np.array([move["displacement"] for move in first], dtype=np.float64),
    )


def force_constants(c: Crystal, moves: Displacements, forces: FloatArray) -> FloatArray:
    """Phi (n_atoms, n_atoms, 3, 3) eV/A^2 of the supercell from `forces` (n_moves, n_atoms, 3) eV/A.

    The crystal's symmetry is used, sum rule and asymmetry are left as they come.
    """
    phonon = c.phonopy()
    phonon.dataset = {
        "natom": forces.shape[1],
        "first_atoms": [
            {"number": int(atom), "displacement": vector, "forces": force}
            for atom, vector, force in zip(moves.atoms, moves.vectors, forces, strict=True)
        ],
    }
    phonon.produce_force_constants(
        calculate_full_force_constants=True, fc_calculator="traditional", show_drift=False
    )
    return np.array(phonon.force_constants, dtype=np.float64)


def violation(phi: FloatArray) -> Violation:
    """How far full force constants are from the rules."""
    difference = phi - phi.transpose(1, 0, 3, 2)
    return Violation(
        float(np.abs(phi.sum(axis=1)).max()),
        float(np.abs(difference).max()),
        float(np.sqrt(np.mean(difference**2))),
        float(np.abs(phi).max()),
    )


def symmetrised(phi: FloatArray) -> FloatArray:
    """The nearest force constants that are symmetric and obey the sum rule, both exactly."""
    phi = 0.5 * (phi + phi.transpose(1, 0, 3, 2))
    rows = phi.mean(axis=1, keepdims=True)
    columns = phi.mean(axis=0, keepdims=True)
    return np.asarray(phi - rows - columns + phi.mean(axis=(0, 1), keepdims=True))


class Dynamics:
    """Frequencies and modes at any wave vector (fractional coordinates of the primitive cell).

    At Gamma the three acoustic modes are told apart from the optical ones by what they are, translations of
    the crystal, and come first: D is taken within the translations, and within all that is orthogonal.
    """

    def __init__(
        self,
        c: Crystal,
        phi: FloatArray,  # (n_atoms or n_primitive, n_atoms, 3, 3) eV/A^2
        born_charges: FloatArray | None = None,  # (n_primitive, 3, 3) e
        dielectric: FloatArray | None = None,  # (3, 3)
    ) -> None:
        self._phonon = c.phonopy()
        self._phonon.force_constants = phi
        if born_charges is not None and dielectric is not None:
            self._phonon.nac_params = {
                "born": born_charges,
                "dielectric": dielectric,
                "factor": COULOMB,
                "method": "gonze",
            }
        self.crystal = c
        self._pbc = c.unit_cell.pbc
        self._scale = THZ / float(self._phonon.unit_conversion_factor)  # to CODATA 2018
        self.cell = np.array(self._phonon.primitive.cell, dtype=np.float64)  # (3, 3) A
        masses = np.sqrt(np.repeat(self._phonon.primitive.masses, 3))
        translations = np.tile(np.eye(3), (len(masses) // 3, 1)) * masses[:, None]
        self._rigid, _ = np.linalg.qr(translations)  # (3 n, 3)
        self._inner = np.linalg.svd(self._rigid)[0][:, N_ACOUSTIC:]  # (3 n, 3 n - 3)

    @classmethod
    def of_reference(cls, reference: PhononReference, tolerance: float) -> Dynamics:
        """Of a reference's force constants, with its Born charges where it has them."""
        c = Crystal(reference.unit_cell, reference.supercell_matrix, reference.primitive_matrix, tolerance)
        return cls(c, reference.force_constants, reference.born_charges, reference.dielectric)

    def frequencies(self, q: FloatArray) -> FloatArray:
        """(n_points, n_bands) THz, rising but for the acoustic modes at Gamma, which come first."""
        q = np.where(at_gamma(q)[:, None], 0.0, q)  # elsewhere D has the phases of a reciprocal vector
        found = self._phonon.run_qpoints(q, with_dynamical_matrices=True)
        rows = self._scale * np.array(found.frequencies, dtype=np.float64)
        for index in np.flatnonzero(at_gamma(q)):
            matrix = np.real(found.dynamical_matrices[index])
            acoustic, optical = (b.T @ matrix @ b for b in (self._rigid, self._inner))
            rows[index] = np.concatenate([_roots(acoustic), _roots(optical)])
        return rows

    def gamma_along(self, direction: FloatArray) -> FloatArray:
        """(n_bands,) THz, rising, at Gamma approached along a fractional direction: LO apart from TO."""
        found = self._phonon.run_qpoints([[0.0, 0.0, 0.0]], nac_q_direction=direction)
        return self._scale * np.array(found.frequencies[0], dtype=np.float64)

    def bands(self, path: Path) -> list[FloatArray]:
        """(n_points, n_bands) THz for each segment, each with its own limit at Gamma."""
        found = self._phonon.run_band_structure(path.segments, is_band_connection=False)
        return [self._scale * np.array(rows, dtype=np.float64) for rows in found.frequencies]

    def mode(self, q: FloatArray, band: int) -> FloatArray:
        """Displacements (n_primitive, 3), complex, of the `band`-th mode of rising frequency at q."""
        found = self._phonon.run_qpoints([q], with_dynamical_matrices=True)
        matrix = found.dynamical_matrices[0]
        masses = np.sqrt(np.repeat(self._phonon.primitive.masses, 3))
        vector = np.linalg.eigh(matrix)[1][:, band] / masses
        return np.asarray(vector.reshape(-1, 3) / np.linalg.norm(vector.reshape(-1, 3), axis=1).max())

    def pattern(self, q: FloatArray, band: int) -> FloatArray:
        """Displacements (n_atoms, 3) along a mode, u_jR = Re e_j exp(iq.x_jR), the longest 1."""
        primitive, whole = self._phonon.primitive, self._phonon.supercell
        row = {int(atom): k for k, atom in enumerate(primitive.p2s_map)}
        owners = [row[int(atom)] for atom in primitive.s2p_map]
        turns = np.exp(2j * np.pi * (whole.positions @ np.linalg.inv(self.cell) @ q))
        waves = self.mode(q, band)[owners] * turns[:, None]
        phase = np.exp(-0.5j * np.angle((waves * waves).sum()))  # where the real part is largest
        real = np.real(waves * phase)
        return np.asarray(real / np.linalg.norm(real, axis=1).max())

    def mesh(self, length_A: float) -> tuple[FloatArray, FloatArray, tuple[int, int, int]]:
        """Wave vectors, weights (sum 1) and numbers of a mesh through Gamma that resolves `length_A`."""
        reciprocal = np.linalg.norm(np.linalg.inv(self.cell), axis=0)
        n = np.where(self._pbc, np.maximum(np.ceil(length_A * reciprocal - 1e-6), 1), 1).astype(int)
        found = self._phonon.run_mesh(
            mesh=n, shift=None, is_time_reversal=True, is_mesh_symmetry=True, is_gamma_center=True
        )
        weights = np.array(found.weights, dtype=np.float64)
        return np.array(found.qpoints), weights / weights.sum(), (int(n[0]), int(n[1]), int(n[2]))

    def exact_points(self) -> tuple[FloatArray, int]:
        """All wave vectors (n_points, 3) that the supercell holds, and how many symmetry leaves apart."""
        from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

        matrix = np.linalg.inv(self.crystal.primitive_matrix) @ self.crystal.supercell_matrix
        q = np.array(get_commensurate_points(np.rint(matrix).astype(np.int64)), dtype=np.float64)
        operations = np.array(self._phonon.primitive_symmetry.pointgroup_operations)
        stars = set()
        for point in q:
            images = np.concatenate([sign * point @ operations for sign in (1, -1)])
            stars.add(min(tuple(image) for image in np.round(images - np.floor(images + 1e-6), 6) + 0.0))
        return q, len(stars)

    def path(self, n_points: int) -> Path:
        """The customary path of the Bravais lattice, about `n_points` in all."""
        from ase.cell import Cell

        build: Any = Cell
        whole = build(self.cell).bandpath(npoints=0, pbc=self._pbc.tolist())
        special = whole.special_points
        ends = [
            pair for part in whole.path.split(",") for names in [_names(part)] for pair in pairwise(names)
        ]
        reciprocal = 2.0 * np.pi * np.linalg.inv(self.cell).T
        lengths = [float(np.linalg.norm((special[b] - special[a]) @ reciprocal)) for a, b in ends]
        segments, distances, done = [], [], 0.0
        for (a, b), length in zip(ends, lengths, strict=True):
            n = max(round(n_points * length / sum(lengths)), 2)
            share = np.linspace(0.0, 1.0, n + 1)
            segments.append(special[a] + share[:, None] * (special[b] - special[a]))
            distances.append(done + share * length)
            done += length
        return Path(segments, ends, distances)


def at_gamma(q: FloatArray) -> Any:
    """Mask (n_points,) of the wave vectors that are reciprocal lattice vectors."""
    return np.abs(q - np.rint(q)).max(axis=1) < ON_GAMMA


def optical_only(q: FloatArray, n_bands: int) -> Any:
    """Mask (n_points, n_bands) of what `Dynamics.frequencies` holds but acoustic modes at Gamma."""
    mask = np.ones((len(q), n_bands), dtype=bool)
    mask[at_gamma(q), :N_ACOUSTIC] = False
    return mask


def _names(part: str) -> list[str]:
    """`GXW1K` -> G, X, W1, K."""
    names: list[str] = []
    for character in part:
        if character.isalpha():
            names.append(character)
        else:
            names[-1] += character
    return names


def _roots(matrix: FloatArray) -> FloatArray:
    """Rising frequencies in THz of a symmetric matrix in eV/A^2/u."""
    squares = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    return np.asarray(THZ * np.sign(squares) * np.sqrt(np.abs(squares)))


def _phonopy(c: Crystal) -> Any:
    from phonopy import Phonopy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of phonopy about its own future
        return Phonopy(
            _atoms(c.unit_cell),
            supercell_matrix=c.supercell_matrix,
            primitive_matrix=c.primitive_matrix,
            symprec=c.tolerance,
            is_symmetry=True,
            use_SNF_supercell=False,
            hermitianize_dynamical_matrix=True,
            calculator=None,
            log_level=0,
        )


def _atoms(structure: Structure) -> Any:
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        numbers=structure.numbers,
        masses=structure.masses,
        positions=structure.positions,
        cell=structure.cell,
    )


def _structure(cell: Any, of: Structure) -> Structure:
    return Structure(
        numbers=np.array(cell.numbers, dtype=np.int64),
        positions=np.array(cell.positions, dtype=np.float64),
        cell=np.array(cell.cell, dtype=np.float64),
        pbc=of.pbc,
        masses=np.array(cell.masses, dtype=np.float64),
    )
