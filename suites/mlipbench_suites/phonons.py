"""Phonons of a crystal, or normal modes of a molecule, from finite displacements."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mlipbench.api import (
    Context,
    Criterion,
    CurveRef,
    Data,
    Evidence,
    InputError,
    Inputs,
    Outcome,
    PhononReference,
    PhononsRef,
    Structure,
    StructureRef,
    Suite,
    SuiteParams,
    elastic,
    literature,
    phonons,
)
from mlipbench_suites import molecule_modes, phonon_numbers, relaxation
from mlipbench_suites.phonon_spectra import IMAGINARY_THZ

LOST_TRANSLATIONS = "at rest the crystal repeats itself no longer as the primitive cell of the reference does"
EVALUATIONS_AT_REST = 8
"""Of the unit cell while it is relaxed (measured: 6 to 18)."""


class NormalModesRef(CurveRef):
    """Frequencies of a molecule against their number, rising."""

    abscissa_unit, value_unit = "1", "cm^-1"


class PhononsParams(relaxation.RelaxationParams):
    """Parameters of the suite `phonons`."""

    structure: StructureRef | None = Field(
        default=None, description="a crystal or a molecule; leave it out where a reference brings its crystal"
    )
    reference: PhononsRef | None = Field(
        default=None, description="force constants of the reference: its unit cell and supercell are taken"
    )
    molecule_reference: NormalModesRef | None = Field(
        default=None, description="vibrations of the molecule: CSV of number and frequency, rising"
    )
    cell: relaxation.Cell = Field(
        default="symmetry",
        description="what is relaxed beside the atoms: fixed, isotropic, or all that the symmetry leaves "
        "free; of molecules nothing",
    )
    supercell: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        default=None, description="unit cells along each axis; else the reference's, or shortest_supercell_A"
    )
    shortest_supercell_A: PositiveFloat = Field(
        default=10.0, description="thickness of the supercell where nothing else says its size"
    )
    displacement_A: PositiveFloat = Field(default=0.01, description="of the atoms, to both sides")
    check_displacement_A: PositiveFloat = Field(
        default=0.03, description="a second one, to tell noise of the forces from anharmonicity"
    )
    mesh_A: PositiveFloat = Field(default=50.0, description="length that the mesh of wave vectors resolves")
    temperature_K: PositiveFloat = Field(default=300.0, description="of heat capacity and free energy")

    @model_validator(mode="after")
    def _one_system(self) -> PhononsParams:
        if (self.structure is None) == (self.reference is None):
            raise ValueError(
                "expected exactly one of structure, reference: a reference brings its own unit cell, so that "
                "both are compared at the same wave vectors"
            )
        if self.reference is not None and self.molecule_reference is not None:
            raise ValueError("expected molecule_reference with a structure, a molecule, got a reference too")
        if self.displacement_A == self.check_displacement_A:
            raise ValueError("expected two different displacements, got displacement_A twice")
        return self


class Phonons(Suite):
    """Vibrational frequencies: imaginary modes, errors against a reference, thermodynamics."""

    name: ClassVar[str] = "phonons"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Phonons"
    method: ClassVar[str] = (
        "The structure is relaxed first, and its space group compared with that of the start. Atoms of a "
        "supercell are displaced to both sides; the crystal's symmetry makes the force constants of these "
        "few forces [@parlinski1997], by phonopy [@togo2023]. What they lack of the acoustic sum rule and of "
        "symmetry is reported, then both are imposed. Frequencies are exact at the wave vectors that the "
        "supercell holds, and interpolated on a mesh and along the band path; the lowest counts, the "
        "acoustic modes at Gamma left out, and one below -0.05 THz is imaginary. A second, larger "
        "displacement gives every comparison its noise floor: the root mean square change of the frequencies "
        "is their standard error. Against a reference the frequencies are compared band by band at the same "
        "wave vectors, with the slope of a line through the origin (below 1: softened), and the harmonic "
        "heat capacity and free energy. Of a molecule the normal modes are taken within all that is no "
        "translation or rotation."
    )
    citations = (literature.FINITE_DISPLACEMENTS, literature.PHONOPY, literature.SPGLIB, literature.NAC)
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="lowest_frequency",
            compare=">",
            limit=IMAGINARY_THZ,
            unit="THz",
            item=7,
            needs=(Evidence("response", 20, "residual forces"), Evidence("thickness", 8, "A")),
            source="deployment checklist, item 7: no imaginary modes in stable phases; noise allowed for",
        ),
        Criterion(
            name="left_its_phase",
            compare="==",
            limit=0,
            unit="1",
            item=7,
            source="deployment checklist, item 7: a phase that relaxes into another one is not stable",
        ),
        Criterion(
            name="frequency_mae",
            compare="<",
            limit=1.0,
            unit="THz",
            grades={"better": 0.5},
            source="multi-tier validation: error of phonon spectra below 0.5 to 1 THz",
        ),
        Criterion(
            name="molecule_mae",
            compare="<",
            limit=10.0,
            unit="cm^-1",
            grades={"better": 5.0},
            source="multi-tier validation: error of molecular vibrations below 5 to 10 cm^-1",
        ),
        Criterion(
            name="softening",
            compare="abs<",
            limit=0.05,
            unit="1",
            level="advisory",
            source="catalogue of failures: systematic softening; 5 % of a frequency are 10 % of a force "
            "constant",
        ),
        Criterion(
            name="rigid_frequency",
            compare="<",
            limit=10.0,
            unit="cm^-1",
            level="advisory",
            source="translations and rotations of a molecule cost no energy",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = PhononsParams

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """The displaced supercells, from the structure as it is before it is relaxed."""
        p: PhononsParams = params
        start, reference = _start(p, inputs)
        if not start.pbc.any():
            return molecule_modes.structures(p, start)
        if p.cell != "fixed":
            relaxation.check_periodic(start, f"relaxing the cell ({p.cell})")
        crystal = _crystal(p, start, reference)
        supercell = crystal.supercell
        moves = phonons.displacements(crystal, p.displacement_A)
        displaced = moves.structures(supercell)
        return [supercell, *displaced, *displaced, *([start] * EVALUATIONS_AT_REST)]

    def produce(self, params: Any, context: Context) -> None:
        """Relax; evaluate the displaced structures at both displacements."""
        p: PhononsParams = params
        start, reference = _start(p, context)
        relaxation.save(context, "start", start)
        if reference is not None and p.reference is not None:
            _save_reference(context, reference, context.level_of_theory(p.reference))
        if not start.pbc.any():
            modes = None if p.molecule_reference is None else context.curve(p.molecule_reference)
            molecule_modes.produce(p, context, start, modes)
            return
        relaxed = relaxation.relax(context, start, p.cell, p.tolerance)
        relaxation.save(context, "relaxed", relaxed.structure)
        context.save("residual", np.array([relaxed.force, relaxed.stress]))
        crystal = None if relaxed.problem else _crystal(p, relaxed.structure, reference)
        problem = relaxed.problem or ("" if crystal is None or crystal.reduces else LOST_TRANSLATIONS)
        context.save("problem", np.array([problem]))
        groups = [elastic.symmetry(s, p.symmetry_tolerance_A) for s in (start, relaxed.structure)]
        context.save("space_groups", np.array([f"{g.symbol} ({g.number})" for g in groups]))
        context.save("operations", np.array([g.n_operations for g in groups]))
        if crystal is None or problem:
            return
        supercell = crystal.supercell
        moves = phonons.displacements(crystal, p.displacement_A)
        larger = moves.scaled(p.check_displacement_A / p.displacement_A)
        asked = [supercell, *moves.structures(supercell), *larger.structures(supercell)]
        forces = np.array([a.forces for a in context.evaluate(asked, ["energy", "forces"])])
        context.save("supercell_matrix", crystal.supercell_matrix)
        context.save("primitive_matrix", crystal.primitive_matrix)
        context.save("moved_atoms", moves.atoms)
        context.save("moves", moves.vectors)
        context.save("forces_rest", forces[0])
        context.save("forces", forces[1 : 1 + len(moves.atoms)])
        context.save("forces_check", forces[1 + len(moves.atoms) :])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Frequencies with their noise floor, against the reference where there is one."""
        p: PhononsParams = params
        if not data.array("start_pbc").any():
            return molecule_modes.measure(p, data)
        return phonon_numbers.measure(p, data)


def _start(p: PhononsParams, inputs: Inputs) -> tuple[Structure, PhononReference | None]:
    """The structure that is relaxed, and the reference that brought it."""
    if p.reference is not None:
        reference = inputs.phonons(p.reference)
        return reference.unit_cell, reference
    if p.structure is None:
        raise InputError("phonons need one of structure, reference")
    start = inputs.structure(p.structure)
    if p.molecule_reference is not None:
        if start.pbc.any():
            raise InputError(
                f"molecule_reference is for molecules, the structure has pbc {start.pbc.tolist()}: give "
                "force constants of the crystal as reference"
            )
        molecule_modes.check_reference(start, inputs.curve(p.molecule_reference))
    return start, None


def _crystal(p: PhononsParams, cell: Structure, reference: PhononReference | None) -> phonons.Crystal:
    """The crystal with the supercell that was asked for."""
    if reference is None:
        n = p.supercell or phonons.multiples(cell, p.shortest_supercell_A)
        return phonons.crystal(cell, n, p.symmetry_tolerance_A)
    matrix = reference.supercell_matrix if p.supercell is None else np.diag(p.supercell)
    return phonons.Crystal(cell, matrix, reference.primitive_matrix, p.symmetry_tolerance_A)


def _save_reference(context: Context, reference: PhononReference, theory: str) -> None:
    """Leave the reference for `measure`."""
    relaxation.save(context, "reference", reference.unit_cell)
    context.save("reference_supercell_matrix", reference.supercell_matrix)
    context.save("reference_primitive_matrix", reference.primitive_matrix)
    context.save("reference_force_constants", reference.force_constants)
    context.save("reference_theory", np.array([theory]))
    if reference.born_charges is not None and reference.dielectric is not None:
        context.save("born_charges", reference.born_charges)
        context.save("dielectric", reference.dielectric)
