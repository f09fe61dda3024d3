"""What the built-in suites did, for the methods section of a paper: past tense, works marked as [@key]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import Data, PhononsRef, Scalar, Structure, StructureRef, Trajectory

if TYPE_CHECKING:
    from mlipbench_suites.density import DensityParams
    from mlipbench_suites.dynamics import DynamicsParams
    from mlipbench_suites.eos_elastic import EosElasticParams
    from mlipbench_suites.held_against import Held
    from mlipbench_suites.nve import NveParams
    from mlipbench_suites.parity import ParityParams
    from mlipbench_suites.parity_numbers import Answers
    from mlipbench_suites.phonon_spectra import Spectra
    from mlipbench_suites.phonons import PhononsParams
    from mlipbench_suites.rdf import RdfParams
    from mlipbench_suites.relaxation import Cell
    from mlipbench_suites.runs import Run, RunParams
    from mlipbench_suites.smoothness import SmoothnessParams
    from mlipbench_suites.stability import StabilityParams
    from mlipbench_suites.vdos import VdosParams


def parity(p: ParityParams, data: Data, answers: Answers) -> str:
    """Errors against labels."""
    n = data.array("n_atoms")
    sizes = f"{n.min()} atoms each" if np.ptp(n) == 0 else f"{n.min()} to {n.max()} atoms"
    where = (
        f"the reference set {p.frames.reference}"
        if p.frames.reference
        else f"the file {_name(p.frames.file)}"
    )
    theory = str(data.array("level_of_theory")[0]) if data.has("level_of_theory") else ""
    zero = {
        "as_is": "Energies were compared as they are, without removal of any offset.",
        "isolated_atoms": "The zero of the energy was set by the isolated atoms of both.",
        "fitted": "The zero of the energy was set by an offset per element, fitted to these frames.",
    }[p.energy_reference]
    held_out = "No training set was named, so that the frames were held out of it was not checked."
    if p.train is not None:
        train = p.train.reference or _name(p.train.file)
        held_out = (
            f"{int(data.array('leaks')[:, 2].sum())} of the frames were found to repeat frames of the "
            f"training set {train} (r.m.s. displacement below {p.near_duplicate_A:g} A)."
        )
    return (
        f"Energies, forces and stresses were compared with the labels of {len(n)} frames ({sizes}; "
        f"{theory or 'level of theory not stated'}) from {where}. {zero} Mean absolute errors were taken per "
        "atom for energies, per Cartesian component for forces and over six components for stresses; their "
        f"standard errors came from a bootstrap [@efron1979] over {answers.cluster_words}. {held_out}"
    )


def nve(p: NveParams, runs: list[Trajectory]) -> str:
    """Conservation of energy."""
    system = _system(p.structure, runs[0].structure)
    return (
        f"Conservation of energy was measured on {system} at {_joined(p.temperatures_K, 'K')}, one run "
        "at each temperature. Velocities were drawn from the Maxwell-Boltzmann distribution with the centre "
        f"of mass at rest; the system was equilibrated for {p.prepare_ps:g} ps by Langevin dynamics "
        f"(BAOAB splitting [@leimkuhler2013], friction {p.prepare_friction_per_fs:g}/fs) and propagated at "
        f"constant energy by velocity Verlet [@swope1982] for {_lengths(runs)}, both with a timestep of "
        f"{p.timestep_fs:g} fs; the energy was sampled every {p.monitor_stride} steps. The drift was the "
        "slope of the total energy per atom, its standard error that of generalised least squares under "
        "white noise and under a random walk, mixed as their restricted likelihoods say "
        f"[@harville1977]. A second run of {p.half_step_ps:g} ps from the same state at half the timestep "
        "told the error of the integrator from forces that are no gradient."
    )


def smoothness(p: SmoothnessParams, run: Trajectory, temperature_K: float, step_A: float) -> str:
    """Derivatives, discontinuities, invariances, noise."""
    return (
        f"Smoothness was examined on {_counted(p.frames, 'configuration')} of "
        f"{_system(p.structure, run.structure)} from Langevin dynamics (BAOAB splitting [@leimkuhler2013], "
        f"friction {p.friction_per_fs:g}/fs, timestep {p.timestep_fs:g} fs, {_lengths([run])}) at "
        f"{temperature_K:g} K. Forces on {p.atoms} atoms of each were compared with central differences of "
        f"the energy (steps of {step_A:g} A and half of it, extrapolated), stresses with the derivative of "
        "the energy in the strain. Rounding noise was told from sixth differences along fine lines "
        f"[@more2011]. Single atoms were led along {_counted(p.lines, 'line')} of {2 * p.reach_A:g} A in "
        "steps of 0.02 A, with steps of 0.002 A about the places where most happened; jumps of the energy, "
        "the force and its derivative were the differences of cubics fitted on either side of an interval, "
        "where neither a smooth function nor the noise explained them. The symmetry of the Hessian "
        "[@bigi2024] and the work around closed loops told conservative forces. Answers were compared for "
        "rotated, reflected, translated, renumbered, wrapped, doubled and differently described cells, for "
        "repeated and batched questions, and for subsets of the properties."
    )


def stability(p: StabilityParams, temperatures: list[float], runs: list[Trajectory]) -> str:
    """Survival of molecular dynamics."""
    system = _system(p.structure, runs[0].structure)
    thermostat = f"Langevin dynamics (BAOAB splitting [@leimkuhler2013], friction {p.friction_per_fs:g}/fs)"
    if p.thermostat == "velocity_rescaling":
        thermostat = f"canonical velocity rescaling [@bussi2007] (relaxation time {p.relaxation_fs:g} fs)"
    return (
        f"Stability was tested by molecular dynamics of {system} in the NVT ensemble at "
        f"{_joined(temperatures, 'K')}, {_counted(p.replicas, 'independent run')} at each "
        f"temperature, held by {thermostat} with a timestep of {p.timestep_fs:g} fs for "
        f"{_lengths(runs)}, from Maxwell-Boltzmann velocities with the centre of mass at rest. A run "
        "was ended as failed where two atoms came closer than 0.5 A, the temperature rose beyond 20000 K, "
        "the potential energy fell 5 eV/atom below the start, or an answer was no number, checked every "
        f"{p.monitor_stride} steps. The rate of failures was bounded at 95 % confidence by Poisson "
        "statistics [@hanley1983]. Mean temperatures had standard errors under noise of short and of "
        "long memory, mixed as their restricted likelihoods say [@harville1977], after the equilibration, "
        "detected [@chodera2016] by the integrated autocorrelation time [@wolff2004]."
    )


def phonons(p: PhononsParams, s: Spectra, start: Structure) -> str:
    """Phonons of a crystal."""
    compared = ""
    if s.on_mesh.reference is not None:
        polar = ", both with the non-analytical term [@gonze1997] of its Born charges" if s.polar else ""
        compared = (
            " Frequencies at the exact wave vectors were compared band by band with those of reference force "
            f"constants ({s.theory or 'level of theory not stated'}){polar}."
        )
    return (
        f"Phonons of {_crystal(p.structure, p.reference, start)} were computed by finite displacements "
        f"[@parlinski1997] with phonopy [@togo2023]. {_relaxed(p.cell, p.force_tolerance_eV_per_A)} Atoms of "
        f"a supercell of {len(s.supercell)} atoms were displaced by {p.displacement_A:g} A to both sides; "
        "symmetry [@togo2024], the acoustic sum rule and the permutation of indices were imposed on the "
        f"force constants. Frequencies were evaluated at the {len(s.exact)} wave vectors that the supercell "
        f"holds, on a mesh of {' x '.join(map(str, s.mesh_numbers))} and along the band path; their standard "
        f"errors were the change to displacements of {p.check_displacement_A:g} A. Heat capacity and free "
        f"energy were harmonic, at {p.temperature_K:g} K.{compared}"
    )


def normal_modes(p: PhononsParams, start: Structure) -> str:
    """Vibrations of a molecule."""
    return (
        f"Normal modes of {_crystal(p.structure, None, start)} were computed from central differences of the "
        f"forces, every coordinate displaced by {p.displacement_A:g} A, after relaxation until no force "
        f"component exceeded {p.force_tolerance_eV_per_A:g} eV/A. Translations and rotations were projected "
        f"out; standard errors were the change to displacements of {p.check_displacement_A:g} A."
    )


def eos_elastic(p: EosElasticParams, start: Structure, has_stress: bool) -> str:
    """Equation of state and elastic constants."""
    source = "stresses" if has_stress else "differences of the energy"
    strains = _joined([100 * strain for strain in p.strains], "%")
    return (
        f"The equation of state of {_crystal(p.structure, None, start)} was fitted after Birch [@birch1947] "
        f"to energies at {p.volumes} volumes within {100 * p.volume_range:g} % of the volume at rest, atoms "
        "and shape of the cell relaxed at each. "
        f"{_relaxed('symmetry', p.force_tolerance_eV_per_A)} Elastic constants were central differences of "
        f"{source} at strains of {strains} of each of the six kinds, atoms relaxed, extrapolated to no "
        "strain and averaged over the point group [@togo2024]; their standard errors combined the scatter of "
        "equivalent entries and the change with the strain. Moduli of a polycrystal were those of Hill "
        "[@hill1952]; Born's condition of stability was the smallest eigenvalue [@mouhat2014]."
        f"{_vacancy(p, len(start))}"
    )


def _vacancy(p: EosElasticParams, n_atoms: int) -> str:
    if p.vacancy_repeat is None:
        return ""
    n = n_atoms * p.vacancy_repeat[0] * p.vacancy_repeat[1] * p.vacancy_repeat[2]
    return (
        f" The formation energy of a vacancy was that of {n - 1} atoms relaxed in a cell of {n} at rest, the "
        "lower from two starts without symmetry, less as many atoms of the crystal."
    )


def _crystal(ref: StructureRef | None, reference: PhononsRef | None, start: Structure) -> str:
    """As `_system`, also where a reference brought the structure."""
    if ref is not None:
        return _system(ref, start)
    name = "" if reference is None else reference.reference or _name(reference.file)
    return f"the unit cell of {len(start)} atoms of the reference {name}"


def _relaxed(cell: Cell, force: float) -> str:
    what = {
        "fixed": "Atoms were relaxed in the cell as it was given",
        "isotropic": "Atoms and the volume of the cell were relaxed",
        "symmetry": "Atoms and cell were relaxed within the symmetry of the crystal",
    }[cell]
    return f"{what}, until no force component exceeded {force:g} eV/A."


def density(p: DensityParams, runs: list[Trajectory], t: float, pressure_bar: float, known: Scalar) -> str:
    """Density at constant pressure."""
    system = _system(p.structure, runs[0].structure)
    thermostat = f"Langevin dynamics (BAOAB splitting [@leimkuhler2013], friction {p.friction_per_fs:g}/fs)"
    if p.thermostat == "velocity_rescaling":
        thermostat = f"canonical velocity rescaling [@bussi2007] (relaxation time {p.relaxation_fs:g} fs)"
    interval = p.cell_stride * p.timestep_fs
    moved = {
        "isotropic": "isotropic stochastic cell rescaling [@bernetti2020]",
        "lengths": "stochastic cell rescaling [@bernetti2020] of the lengths along x, y, z [@deltatto2022]",
        "full": "stochastic cell rescaling [@bernetti2020] of all lengths and angles [@deltatto2022]",
    }[p.cell]
    return (
        f"The density was computed by molecular dynamics of {system} at {t:g} K and {pressure_bar:g} bar, "
        f"{_counted(p.replicas, 'independent run')}. After {p.prepare_ps:g} ps at constant volume the cell "
        f"was moved by {moved} (relaxation time "
        f"{p.cell_relaxation_fs:g} fs, a move every {interval:g} fs) and the temperature held by "
        f"{thermostat}, with a timestep of {p.timestep_fs:g} fs for {_lengths(runs)}. The equilibration was "
        "detected [@chodera2016] by the integrated autocorrelation time [@wolff2004] and dropped; the mean "
        "density had a standard error under noise of short and of long memory, mixed as their restricted "
        f"likelihoods say [@harville1977], and was compared with a {known.name.replace('_', ' ')} of "
        f"{known.value:g} {known.unit} ({known.level_of_theory}). The bulk modulus followed from the "
        "fluctuations of the volume. Before the runs the pressure from the stress "
        "was compared with differences of the energy in the volume."
    )


def rdf(p: RdfParams, run: Run, reach: float, held: list[Held]) -> str:
    """Radial distribution functions."""
    deciding = [f"{h.name} ({h.said})" for h in held if h.decides]
    against = (
        f"Peaks were held against those of {_joined(deciding)}, treated in the same way in the same bins; "
        "the errors of both were added in squares."
        if deciding
        else "No reference of the same temperature and level of theory was at hand."
    )
    return (
        f"Radial distribution functions were counted with MDAnalysis [@michaudagrawal2011] up to "
        f"{min(p.range_A or reach, reach):.3g} A in frames {p.frame_every_fs:g} fs apart. {_sampled(p, run)} "
        "Position and height of a peak were those of a cubic polynomial fitted to the logarithm of g about "
        "its maximum, down to half of its prominence; errors came from blocks of the run, their memory "
        f"weighed by restricted likelihoods [@harville1977]. {against}"
    )


def vdos(p: VdosParams, run: Run) -> str:
    """Spectra of velocities."""
    return (
        f"{_sampled(p, run)} Velocities were stored every {p.velocity_every_fs:g} fs. Their mass-weighted "
        f"autocorrelation functions up to {p.correlation_fs:g} fs, averaged over segments twice as long, "
        "were multiplied by a Hann window, transformed, and normalised by the kinetic temperature to degrees "
        "of freedom [@lin2003]. Distances from references were Wasserstein distances of normalised spectra "
        "[@vallender1974]; errors came from the segments, their memory weighed by restricted likelihoods "
        "[@harville1977]."
    )


def dynamics(p: DynamicsParams, run: Run) -> str:
    """Diffusion and vaporisation."""
    size = (
        f"The finite-size correction [@yeh2004] was made with a viscosity of {p.viscosity_mPa_s:g} mPa s."
        if p.viscosity_mPa_s is not None
        else "No finite-size correction was made."
    )
    heat = (
        " The enthalpy of vaporisation was the energy of the relaxed molecule, kT/2 for each of its "
        "vibrations and kT, less the mean potential energy of the liquid a molecule."
        if p.gas is not None
        else ""
    )
    return (
        f"Diffusion coefficients were slopes of mean squared displacements [@einstein1905] from "
        f"{p.fit_from_ps:g} to {p.fit_to_ps:g} ps, from positions every {p.frame_every_fs:g} fs relative to "
        f"the centre of mass; errors came from segments of {2 * p.fit_to_ps:g} ps, their memory weighed by "
        f"restricted likelihoods [@harville1977]. {_sampled(p, run)} {size}{heat}"
    )


def _sampled(p: RunParams, run: Run) -> str:
    """The run of the suites that share one, as a sentence."""
    system = _system(p.structure, run.whole.structure)
    velocity = "from Maxwell-Boltzmann velocities with the centre of mass at rest"
    if p.ensemble == "nve":
        how = (
            f"propagated at constant energy by velocity Verlet [@swope1982], after {p.prepare_ps:g} ps of "
            "Langevin dynamics (BAOAB splitting [@leimkuhler2013], friction "
            f"{p.prepare_friction_per_fs:g}/fs)"
        )
    elif p.ensemble == "langevin":
        how = (
            "held by Langevin dynamics (BAOAB splitting [@leimkuhler2013], friction "
            f"{p.friction_per_fs:g}/fs)"
        )
    else:
        how = f"held by canonical velocity rescaling [@bussi2007] (relaxation time {p.relaxation_fs:g} fs)"
    left = (run.whole.n_steps * run.whole.timestep_fs) / 1000 - run.counted_ps
    out = (
        f"; the first {left:.3g} ps were left out as equilibration, detected [@chodera2016] by the "
        "integrated autocorrelation time [@wolff2004]"
        if left > 0
        else ""
    )
    return (
        f"{system[0].upper()}{system[1:]} at {run.temperature_K:g} K were {how}, {velocity}, with a timestep "
        f"of {p.timestep_fs:g} fs for {_lengths([run.whole])}{out}."
    )


def _name(file: str | None) -> str:
    """Of a file without its folder, which means nothing to a reader."""
    return PurePath(file or "").name


def _joined(values: Sequence[object], unit: str = "") -> str:
    """`300, 600 and 1500 K`."""
    words = [f"{v:g}" if isinstance(v, (int, float)) else str(v) for v in values]
    text = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return f"{text} {unit}".strip()


def _counted(n: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _system(ref: StructureRef, structure: Structure) -> str:
    """`64 atoms of Si (diamond crystal, 2 x 2 x 2 conventional cells, a = 5.431 A, periodic)`."""
    if ref.crystal is not None:
        lattice = f", a = {ref.lattice_A:g} A" if ref.lattice_A else ""
        size = " x ".join(str(n) for n in ref.repeat)
        return f"{len(structure)} atoms of {ref.symbol} ({ref.crystal} crystal, {size} cells{lattice})"
    where = f"the reference set {ref.reference}" if ref.reference else f"the file {_name(ref.file)}"
    bounds = "periodic" if structure.pbc.any() else "not periodic"
    return f"{len(structure)} atoms (structure {ref.index} of {where}, {bounds})"


def _lengths(runs: Sequence[Trajectory]) -> str:
    """What the runs really lasted: `10 ps`, or `0.3 to 10 ps, 1 of them broken off by a monitor`."""
    ps = np.array([run.length_ps for run in runs])
    text = f"{ps.max():g} ps" if np.ptp(ps) < 1e-9 else f"{ps.min():.3g} to {ps.max():.3g} ps"
    broken = sum(run.event is not None for run in runs)
    return f"{text} ({broken} of {_counted(len(runs), 'run')} broken off by a monitor)" if broken else text
