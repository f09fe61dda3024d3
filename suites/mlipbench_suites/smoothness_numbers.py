"""What the suite `smoothness` finds in the answers: measurements from stored arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import BOLTZMANN, Data, Measurement, Structure, smoothness
from mlipbench_suites.smoothness_probes import FINE, STRAIN_STEP
from mlipbench_suites.trajectory_checks import MASS_VELOCITY_SQUARED

CHANCE = 5.0  # standard errors of the noise that are taken off a difference
PHONON_STEP = 0.01  # A, the displacement that force constants are usually taken with
FORCE_LIMIT, STRESS_LIMIT = 5.0, 1e-4  # meV/A, eV/A^3: a tenth of what the checklist allows as an error
JUMP_LIMITS = {"energy": 1.0, "force": 1.0, "slope": 10.0}  # %
SAME_PLACE = FINE  # A, to which a cutoff is told from the fine lines
FARTHEST = 8.0  # A, of neighbours that are looked at for it


@dataclass(frozen=True)
class Frames:
    """Thermal configurations with the answers about them."""

    structures: list[Structure]
    energies: np.ndarray  # (n_frames,) eV
    forces: np.ndarray  # (n_frames, n_atoms, 3) eV/A
    stress: np.ndarray | None  # (n_frames, 3, 3) eV/A^3
    rounding: float  # relative, of the potential's arithmetic

    @classmethod
    def load(cls, data: Data) -> Frames:
        """From what `smoothness_probes.answers` saved."""
        one = {name: data.array(f"frames.{name}") for name in ("numbers", "masses", "pbc")}
        pairs = zip(data.array("frames.positions"), data.array("frames.cells"), strict=True)
        return cls(
            [Structure(positions=x, cell=cell, **one) for x, cell in pairs],
            data.array("frames.energy"),
            data.array("frames.forces"),
            data.array("frames.stress") if data.has("frames.stress") else None,
            float(data.array("rounding")[0]),
        )

    @property
    def thermal_force(self) -> float:
        """R.m.s. force component, eV/A."""
        return float(np.sqrt(np.mean(self.forces**2)))


@dataclass(frozen=True)
class Noise:
    """Rounding noise along fine lines, one a frame."""

    energies: np.ndarray  # (n_frames,) eV
    forces: np.ndarray  # (n_frames,) eV/A, r.m.s. over components

    @classmethod
    def of(cls, energies: np.ndarray, forces: np.ndarray) -> Noise:
        """From energies (n_frames, n) and forces (n_frames, n, 3) on the atom that moves along the lines."""
        sigma = smoothness.noise(np.moveaxis(forces, 1, 0))
        return cls(smoothness.noise(energies.T), np.sqrt((sigma**2).mean(axis=1)))

    @property
    def energy(self) -> float:
        """The largest, eV."""
        return float(self.energies.max())

    @property
    def force(self) -> float:
        """The largest, eV/A."""
        return float(self.forces.max())


@dataclass(frozen=True)
class Scan:
    """One line: coarse and fine stretches, and the largest jumps of the fine ones."""

    frame: int
    atom: int
    direction: np.ndarray  # (3,)
    stretches: list[np.ndarray]  # (3, n): displacement A, energy eV, force along it eV/A; the first is coarse
    energy: smoothness.Break
    force: smoothness.Break
    slope: smoothness.Break

    @property
    def stiffness(self) -> float:
        """R.m.s. derivative of the force along the coarse line, eV/A^2."""
        x, _, force = self.stretches[0]
        return float(np.sqrt(np.mean(np.gradient(force, x) ** 2)))


def scans(data: Data, noise: Noise) -> list[Scan]:
    """All lines; jumps are looked for in the fine stretches, which resolve them best."""
    rows, atoms, directions = (data.array(f"scan.{name}") for name in ("rows", "atoms", "directions"))
    found = []
    for number, (frame, atom) in enumerate(atoms):
        mine = rows[:, rows[0] == number]
        stretches = [mine[2:, mine[1] == region] for region in np.unique(mine[1])]
        looked = [s for s in stretches[1:] if s.shape[1] >= 2 * smoothness.WINDOW]
        energy = [smoothness.breaks(s[0], s[1]).value(noise.energy) for s in looked]
        at_force = [smoothness.breaks(s[0], s[2]) for s in looked]
        force, slope = ([getattr(b, kind)(noise.force) for b in at_force] for kind in ("value", "slope"))
        largest = [max(breaks, key=lambda b: abs(b.size)) for breaks in (energy, force, slope)]
        found.append(Scan(int(frame), int(atom), directions[number], stretches, *largest))
    return found


def numbers_at_all(data: Data, frames: Frames) -> Measurement:
    """How many answers are no numbers."""
    names = ("noise.energy", "noise.forces", "difference.energies", "scan.rows", "same.energy", "same.forces")
    arrays = [frames.energies, frames.forces, *(data.array(name) for name in names)]
    count = sum(int((~np.isfinite(a)).sum()) for a in arrays)
    return exact("non_finite", float(count), "1", note="answers about thermal frames" if count else "")


def exact(name: str, value: float | None, unit: str, method: str = "", note: str = "") -> Measurement:
    """A property of a deterministic function: no error bar."""
    return Measurement(name=name, value=value, unit=unit, exact=value is not None, method=method, note=note)


def force_error(data: Data, frames: Frames, noise: Noise) -> tuple[Measurement, np.ndarray, np.ndarray]:
    """Largest |F + dE/dx|; also the forces and the differences, each (n,) eV/A."""
    step, atoms = float(data.array("difference.step")[0]), data.array("difference.atoms")
    expected = -smoothness.derivative(data.array("difference.energies"), step)
    got = np.take_along_axis(frames.forces, atoms[:, :, None], axis=1)
    floor = CHANCE * smoothness.DERIVATIVE_NOISE * noise.energy / step
    worst = float(np.abs(got - expected).max())
    m = _beyond_noise("force_error", 1000 * worst, 1000 * floor, "meV/A", FORCE_LIMIT)
    ratio = float((got * expected).sum() / max((expected**2).sum(), 1e-300))
    words = f"{got.size} components of {atoms.size} atoms in {len(frames.structures)} frames; forces are "
    return (
        m.model_copy(
            update={
                "method": f"central differences of the energy at {step:g} and {step / 2:g} A, "
                "extrapolated; what the noise of the energy explains is taken off",
                "note": f"{words}{ratio:.5g} of -dE/dx{'; ' if m.note else ''}{m.note}",
            }
        ),
        got.ravel(),
        expected.ravel(),
    )


def _beyond_noise(name: str, worst: float, floor: float, unit: str, limit: float) -> Measurement:
    """A largest difference less what noise explains; no value where noise hides what is asked."""
    if worst < floor and floor > limit:
        note = f"{worst:.3g} {unit} differ, and noise alone explains {floor:.3g}: use a higher precision"
        return exact(name, None, unit, note=note)
    return exact(name, max(worst - floor, 0.0), unit, note=f"noise explains {floor:.2g} {unit}")


def stress_error(data: Data, frames: Frames, noise: Noise) -> list[Measurement]:
    """Largest |stress - dE/d(strain)/V|, where there is a stress."""
    if frames.stress is None:
        return []
    volumes = np.array([s.volume for s in frames.structures])
    slopes = smoothness.derivative(data.array("strain.energies"), STRAIN_STEP) / volumes[:, None]
    a, b = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
    worst = float(np.abs(frames.stress[:, a, b] - slopes).max())
    floor = CHANCE * smoothness.DERIVATIVE_NOISE * noise.energy / (STRAIN_STEP * float(volumes.min()))
    m = _beyond_noise("stress_error", worst, floor, "eV/A^3", STRESS_LIMIT)
    method = f"central differences of the energy at strains of {STRAIN_STEP:g} and half of it, extrapolated"
    return [m.model_copy(update={"method": method})]


@dataclass(frozen=True)
class Scale:
    """What jumps of one kind are compared with."""

    size: float
    unit: str
    words: str
    limit: float  # %, of the criterion

    def percent(self, jump: smoothness.Break) -> float:
        """A jump in per cent of it."""
        return 100 * abs(jump.size) / max(self.size, 1e-300)


def scales(found: list[Scan], frames: Frames, temperature_K: float) -> dict[str, Scale]:
    """kT for energies, the thermal force for forces, the stiffness along the lines for slopes."""
    stiffness = float(np.sqrt(np.mean([s.stiffness**2 for s in found])))
    return {
        "energy": Scale(BOLTZMANN * temperature_K, "eV", f"kT at {temperature_K:g} K", JUMP_LIMITS["energy"]),
        "force": Scale(frames.thermal_force, "eV/A", "the r.m.s. force", JUMP_LIMITS["force"]),
        "slope": Scale(
            stiffness, "eV/A^2", "the r.m.s. slope of the force along the lines", JUMP_LIMITS["slope"]
        ),
    }


def jumps(found: list[Scan], against: dict[str, Scale]) -> list[Measurement]:
    """The largest jumps of all lines."""
    measurements = []
    for kind, scale in against.items():
        largest = max((getattr(s, kind) for s in found), key=lambda b: abs(b.size))
        seen = f"{largest.size:+.3g} {scale.unit}" if largest.size else "none"
        measurements.append(
            exact(
                f"{kind}_jump",
                scale.percent(largest),
                "%",
                f"cubics on either side of each interval of the finest lines, relative to {scale.words}",
                f"{seen}; {scale.words}: {scale.size:.3g} {scale.unit}; {largest.resolution:.2g} "
                f"{scale.unit} would be seen",
            )
        )
    return measurements


def harmful(found: list[Scan], against: dict[str, Scale]) -> list[tuple[Scan, float]]:
    """Lines and places where something jumps by more than a tenth of its limit, each place once."""
    places: dict[tuple[int, int], tuple[Scan, float]] = {}
    for number, scan in enumerate(found):
        for kind, scale in against.items():
            jump = getattr(scan, kind)
            if scale.percent(jump) > 0.1 * scale.limit:
                places[number, round(jump.position / SAME_PLACE)] = (scan, jump.position)
    return list(places.values())


def cutoff(places: list[tuple[Scan, float]], frames: Frames) -> float | None:
    """The distance to a neighbour that all places have in common; None where there is none, or where so
    few could share one by chance."""
    if len(places) < 4:
        return None
    seen = [
        _distances(frames.structures[scan.frame], scan.atom, position * scan.direction)
        for scan, position in places
    ]
    away = [max(float(np.abs(other - d).min()) for other in seen) for d in seen[0]]
    best = int(np.argmin(away))
    return float(seen[0][best]) if away[best] < SAME_PLACE else None


def _distances(frame: Structure, atom: int, displacement: np.ndarray) -> np.ndarray:
    """From a displaced atom to all others and their nearest images."""
    hops = [np.arange(-2, 3) if periodic else np.arange(1) for periodic in frame.pbc]
    images = np.stack(np.meshgrid(*hops, indexing="ij"), axis=-1).reshape(-1, 3) @ frame.cell
    others = np.delete(frame.positions, atom, axis=0)
    vectors = others[:, None] + images - (frame.positions[atom] + displacement)
    distances = np.sort(np.linalg.norm(vectors.reshape(-1, 3), axis=1))
    return distances[distances < FARTHEST]


def noise_measurements(
    noise: Noise, frames: Frames, stiffness: float, timestep_fs: float
) -> list[Measurement]:
    """Scatter of energy and force, in absolute terms and as what it does downstream."""
    n_atoms = len(frames.structures[0])
    inverse_mass = float(np.mean(1.0 / frames.structures[0].masses))
    rounding = frames.rounding * np.maximum(np.abs(frames.energies), 1.0)
    # An independent error s of every force component in each step heats by 3 s^2 dt/(2 m) per atom and time.
    heating = 1.5e6 * noise.forces**2 * timestep_fs * inverse_mass / MASS_VELOCITY_SQUARED
    constants = smoothness.DERIVATIVE_NOISE * noise.forces / PHONON_STEP
    values = (
        (
            "energy_noise",
            noise.energies / rounding,
            "1",
            "over the rounding of the total energy in the dtype",
        ),
        ("energy_noise_per_atom", 1000 * noise.energies / n_atoms, "meV/atom", ""),
        ("force_noise", 1000 * noise.forces, "meV/A", "r.m.s. over components"),
        ("noise_heating", heating, "meV/atom/ps", f"of molecular dynamics with steps of {timestep_fs:g} fs"),
        (
            "stiffness_noise",
            100 * constants / max(stiffness, 1e-300),
            "%",
            f"of a force constant from displacements of {PHONON_STEP:g} A",
        ),
    )
    method = "sixth differences along a fine line through each frame, mean and error over frames"
    return [_mean(name, found, unit, method, note) for name, found, unit, note in values]


def _mean(name: str, values: np.ndarray, unit: str, method: str, note: str) -> Measurement:
    n = len(values)
    return Measurement(
        name=name,
        value=float(values.mean()),
        unit=unit,
        stderr=float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        n_eff=float(n),
        method=method,
        note=note,
    )


def precision(data: Data, frames: Frames) -> tuple[list[Measurement], Noise | None]:
    """The other precision's answers against these, and its noise."""
    if not data.has("twin.dtype"):
        return [], None
    twin = Noise.of(data.array("twin.noise.energy")[None], data.array("twin.noise.forces")[None])
    n_atoms, other = len(frames.structures[0]), str(data.array("twin.dtype")[0])
    energy = 1000 * float(np.abs(data.array("twin.energy") - frames.energies).max()) / n_atoms
    force = 1000 * float(np.abs(data.array("twin.forces") - frames.forces).max())
    method = f"the same frames in {other}, largest difference"
    return [
        exact("precision_energy", energy, "meV/atom", method),
        exact("precision_force", force, "meV/A", method),
        exact("other_force_noise", 1000 * twin.force, "meV/A", f"noise along the first line in {other}"),
    ], twin


def curl(data: Data, noise: Noise, temperature_K: float) -> list[Measurement]:
    """Asymmetry of the Hessian of a few atoms, and work around loops."""
    step = float(data.array("curl.step")[0])
    hessian = -smoothness.derivative(np.moveaxis(data.array("curl.forces"), 1, -1), step)
    size = max(float(np.linalg.norm(hessian)), 1e-300)
    chance = smoothness.DERIVATIVE_NOISE * noise.force / step * len(hessian) / size
    positions, forces = data.array("loop.positions"), data.array("loop.forces")
    work = max(abs(smoothness.loop_work(f, x)) for f, x in zip(forces, positions, strict=True))
    return [
        exact(
            "hessian_asymmetry",
            100 * smoothness.asymmetry(hessian),
            "%",
            f"|H - H^T| / |H + H^T| of {len(hessian) // 3} neighbours, differences of forces at {step:g} A",
            f"noise explains {100 * chance:.2g} %",
        ),
        exact(
            "loop_work",
            100 * work / (BOLTZMANN * temperature_K),
            "%",
            f"work on one atom around a circle, over kT at {temperature_K:g} K; largest of {len(forces)} "
            "loops",
            f"{1000 * work:.3g} meV",
        ),
    ]


def momentum(frames: Frames) -> list[Measurement]:
    """Net force, and net torque where nothing is periodic, per atom; the largest of the frames."""
    n_atoms = frames.forces.shape[1]
    net = float(np.linalg.norm(frames.forces.sum(axis=1), axis=1).max()) / n_atoms
    found = [exact("net_force", 1000 * net, "meV/A", "sum of the forces over the number of atoms")]
    if not frames.structures[0].pbc.any():
        torques = [
            np.cross(s.positions - s.positions.mean(axis=0), f).sum(axis=0)
            for s, f in zip(frames.structures, frames.forces, strict=True)
        ]
        torque = float(np.linalg.norm(torques, axis=1).max()) / n_atoms
        found.append(exact("net_torque", 1000 * torque, "meV", "sum of the torques over the number of atoms"))
    return found


@dataclass(frozen=True)
class Same:
    """How far answers to questions that mean the same lie apart."""

    names: list[str]
    energy: np.ndarray  # (n,) meV/atom, largest of the frames
    forces: np.ndarray  # (n,) meV/A
    stress: np.ndarray | None  # (n,) eV/A^3

    @classmethod
    def load(cls, data: Data, frames: Frames) -> Same:
        """From what `smoothness_disguises.same` saved."""
        energy = np.abs(data.array("same.energy") - frames.energies).max(axis=1)
        forces = np.abs(data.array("same.forces") - frames.forces).max(axis=(1, 2, 3))
        stress = None
        if frames.stress is not None:
            stress = np.abs(data.array("same.stress") - frames.stress).max(axis=(1, 2, 3))
        n_atoms = frames.forces.shape[1]
        return cls([str(n) for n in data.array("same.names")], 1000 * energy / n_atoms, 1000 * forces, stress)

    def measurements(self) -> list[Measurement]:
        """One a quantity and question."""
        found = []
        for k, name in enumerate(self.names):
            values = [("same_energy", self.energy[k], "meV/atom"), ("same_forces", self.forces[k], "meV/A")]
            if self.stress is not None:
                values.append(("same_stress", self.stress[k], "eV/A^3"))
            for quantity, value, unit in values:
                m = exact(quantity, float(value), unit, "largest difference over frames")
                found.append(m.model_copy(update={"conditions": {"question": name}}))
        return found
