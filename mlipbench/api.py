"""The only module that plug-ins import: suites, potentials, and the values they trade in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlipbench.analysis import (
    blocks,
    density,
    diffusion,
    drift,
    duplicates,
    elastic,
    eos,
    parity,
    peaks,
    phonons,
    rdf,
    residuals,
    smoothness,
    speed,
    stats,
    structure,
    structured,
    vdos,
    vibrations,
)
from mlipbench.core import literature
from mlipbench.core.citation import Citation
from mlipbench.core.criterion import Criterion, Evidence, Verdict
from mlipbench.core.errors import DataError, InputError, PotentialError, SuiteError
from mlipbench.core.figure import Figure, Panel, Series, StructurePicture, Table
from mlipbench.core.measurement import Measurement
from mlipbench.core.potential import (
    BatchEvaluation,
    BoundPotential,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.reference import Curve, PhononReference, Scalar
from mlipbench.core.speed import SizeSpeed, Speed, SpeedRequest
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.suite import (
    Context,
    CurveRef,
    Data,
    Duration,
    FramesRef,
    Inputs,
    IntendedUse,
    Outcome,
    PhononsRef,
    ScalarRef,
    StructureRef,
    Suite,
    SuiteParams,
)
from mlipbench.core.trajectory import (
    NVE,
    Event,
    Langevin,
    Limits,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    Trajectory,
    TrajectorySpec,
    VelocityRescaling,
    steps_lasting,
)
from mlipbench.core.units import BOLTZMANN, conversion_factor

__all__ = [
    "BOLTZMANN",
    "NVE",
    "BatchEvaluation",
    "BoundPotential",
    "Capabilities",
    "Citation",
    "Context",
    "Criterion",
    "Curve",
    "CurveRef",
    "Data",
    "DataError",
    "Duration",
    "Evaluation",
    "Event",
    "Evidence",
    "Figure",
    "FramesRef",
    "Identity",
    "InputError",
    "Inputs",
    "IntendedUse",
    "LabelledFrame",
    "Langevin",
    "Limits",
    "MaxwellBoltzmann",
    "Measurement",
    "Outcome",
    "Panel",
    "PhononReference",
    "PhononsRef",
    "Potential",
    "PotentialError",
    "Scalar",
    "ScalarRef",
    "Series",
    "SizeSpeed",
    "Speed",
    "SpeedRequest",
    "StochasticCellRescaling",
    "Structure",
    "StructurePicture",
    "StructureRef",
    "Suite",
    "SuiteError",
    "SuiteParams",
    "Table",
    "Trajectory",
    "TrajectorySpec",
    "VelocityRescaling",
    "Verdict",
    "blocks",
    "calculator",
    "conversion_factor",
    "density",
    "diffusion",
    "drift",
    "duplicates",
    "elastic",
    "eos",
    "literature",
    "parity",
    "peaks",
    "phonons",
    "rdf",
    "residuals",
    "smoothness",
    "speed",
    "stats",
    "steps_lasting",
    "structure",
    "structured",
    "vdos",
    "vibrations",
]


def calculator(
    path: str | Path, dtype: str = "float64", device: str = "cpu", engine: str | None = None
) -> Any:
    """An ASE calculator of a potential of mlipbench: energy, forces, stress, energies of the atoms, and
    of a committee the spread of its members (`mlipbench.potentials.calculator`)."""
    from mlipbench.potentials.calculator import EmbeddedCalculator  # imports torch
    from mlipbench.potentials.embedded import embedded

    return EmbeddedCalculator(embedded(Path(path), dtype, device, engine))
