"""What the suite `smoothness` asks the potential: thermal frames, fine lines, derivatives, scan lines.

Every function saves arrays under the names that `smoothness_numbers` reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import Context, Evaluation, Structure, Trajectory, smoothness

NOISE_POINTS, NOISE_STEP = 33, 5e-4  # A
FORCE_STEPS = (0.02, 0.05, 0.1)  # A; a larger one where the energy is too noisy for a smaller
STRAIN_STEP = 2e-3
COARSE = 0.02  # A between points of a scan line
FINE = COARSE / 10
ZOOM = 2.5 * COARSE  # half of the stretch around a suspect interval that is looked at finely
AWAY = 8.0  # A, how far an atom of a molecule or cluster is led away from it
CLUSTER = 4  # atoms that the Hessian is taken of
LOOP_RADIUS, LOOP_POINTS = 0.1, 24  # A
RATTLE = 0.1  # A, of a frame that stands in for one that a trajectory did not give
_STRAINS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def thermal_frames(run: Trajectory, count: int, rng: np.random.Generator) -> list[Structure]:
    """The last frames of a trajectory that are numbers, the start rattled where there are too few."""
    usable = [k for k in np.flatnonzero(run.frame_steps > 0) if np.isfinite(run.positions[k]).all()]
    if run.event is not None:
        usable = usable[:-1]  # the frame of the event itself
    frames = [run.structure.with_positions(run.positions[k], run.cells[k]) for k in usable[-count:]]
    while len(frames) < count:
        noise = rng.normal(scale=RATTLE, size=run.structure.positions.shape)
        frames.append(run.structure.with_positions(run.structure.positions + noise))
    return frames


def answers(context: Context, frames: list[Structure]) -> list[Evaluation]:
    """Answers about the frames, with the stress where there is one; saved."""
    found = context.evaluate(frames, asked_for(context, frames[0]))
    context.save("frames.positions", np.array([f.positions for f in frames]))
    context.save("frames.cells", np.array([f.cell for f in frames]))
    for name in ("numbers", "masses", "pbc"):
        context.save(f"frames.{name}", getattr(frames[0], name))
    context.save("frames.energy", np.array([a.energy for a in found]))
    context.save("frames.forces", np.array([a.forces for a in found]))
    if found[0].stress is not None:
        context.save("frames.stress", np.array([a.stress for a in found]))
    context.save("rounding", np.array([np.finfo(context.potential.capabilities.dtype).eps]))
    return found


def asked_for(context: Context, frame: Structure) -> tuple[str, ...]:
    """Energy, forces, and the stress of what is periodic where the potential has it."""
    stress = "stress" in context.properties and bool(frame.pbc.all())
    return ("energy", "forces", *(("stress",) if stress else ()))


# ---------------------------------------------------------------- noise
def noise_line(frame: Structure, rng: np.random.Generator) -> tuple[int, list[Structure]]:
    """An atom, and structures in which it is led along a line so short that high differences are rounding.

    One atom alone: with all of them, some pair would cross a cutoff in every step.
    """
    atom, direction = int(rng.integers(len(frame))), rng.normal(size=3)
    direction *= NOISE_STEP / np.linalg.norm(direction)
    return atom, [_moved(frame, atom, k * direction) for k in range(NOISE_POINTS)]


def noise(context: Context, frames: list[Structure], rng: np.random.Generator) -> float:
    """A line through each frame, and the first also in the other precision; the energy's noise in eV."""
    lines = [noise_line(frame, rng) for frame in frames]
    found = [context.evaluate(line, ("energy", "forces")) for _, line in lines]
    energies = np.array([[a.energy for a in line] for line in found])
    context.save("noise.energy", energies)
    context.save(
        "noise.forces", np.array([_of_atom(line, atom) for (atom, _), line in zip(lines, found, strict=True)])
    )
    other = "float32" if context.potential.capabilities.dtype == "float64" else "float64"
    twin = context.potential.at_precision(other)
    if twin is not None:
        atom, line = lines[0]
        there = twin.evaluate(frames, ("energy", "forces"))
        context.save("twin.dtype", np.array([other]))
        context.save("twin.energy", np.array([a.energy for a in there]))
        context.save("twin.forces", np.array([a.forces for a in there]))
        along = twin.evaluate(line, ("energy", "forces"))
        context.save("twin.noise.energy", np.array([a.energy for a in along]))
        context.save("twin.noise.forces", _of_atom(along, atom))
    return float(np.nanmax(np.nan_to_num(smoothness.noise(energies.T))))


def _of_atom(found: list[Evaluation], atom: int) -> np.ndarray:
    """Forces (n, 3) on one atom."""
    return np.array([a.forces[atom] for a in found if a.forces is not None])


# ---------------------------------------------------------------- derivatives
def force_step(sigma: float, allowed: float) -> float:
    """The smallest step with which noise `sigma` (eV) of energies errs by less than `allowed` (eV/A)."""
    return next(
        (h for h in FORCE_STEPS if smoothness.DERIVATIVE_NOISE * sigma / h < allowed), FORCE_STEPS[-1]
    )


def force_differences(
    context: Context, frames: list[Structure], step: float, n_atoms: int, rng: np.random.Generator
) -> None:
    """Energies around each frame along all directions of some atoms."""
    atoms = np.array([rng.permutation(len(f))[:n_atoms] for f in frames])
    wanted = [
        _moved(frame, int(atom), step * s * np.eye(3)[axis])
        for frame, chosen in zip(frames, atoms, strict=True)
        for atom in chosen
        for axis in range(3)
        for s in smoothness.STEPS
    ]
    energies = np.array([a.energy for a in context.evaluate(wanted, ("energy",))])
    context.save("difference.step", np.array([step]))
    context.save("difference.atoms", atoms)
    context.save("difference.energies", energies.reshape(len(frames), -1, 3, len(smoothness.STEPS)))


def strain_differences(context: Context, frames: list[Structure]) -> None:
    """Energies around each frame along the six strains."""
    wanted = [
        _strained(frame, STRAIN_STEP * s * _unit_strain(a, b))
        for frame in frames
        for a, b in _STRAINS
        for s in smoothness.STEPS
    ]
    energies = np.array([a.energy for a in context.evaluate(wanted, ("energy",))])
    context.save("strain.energies", energies.reshape(len(frames), 6, len(smoothness.STEPS)))


def curl(context: Context, frames: list[Structure], step: float, rng: np.random.Generator) -> None:
    """Forces around the first frame along all directions of a few neighbours, and around a loop in each."""
    frame = frames[0]
    centre = int(rng.integers(len(frame)))
    away = np.linalg.norm(frame.positions - frame.positions[centre], axis=1)
    cluster = np.argsort(away, kind="stable")[:CLUSTER]
    wanted = [
        _moved(frame, int(atom), step * s * np.eye(3)[axis])
        for atom in cluster
        for axis in range(3)
        for s in smoothness.STEPS
    ]
    forces = np.array([a.forces for a in context.evaluate(wanted, ("energy", "forces"))])
    context.save("curl.step", np.array([step]))
    kept = forces[:, cluster].reshape(3 * len(cluster), len(smoothness.STEPS), 3 * len(cluster))
    context.save("curl.forces", kept)
    angles = 2 * np.pi * np.arange(LOOP_POINTS) / LOOP_POINTS
    paths, along = [], []
    for looped in frames:
        atom = int(rng.integers(len(looped)))
        plane = np.linalg.qr(rng.normal(size=(3, 2)))[0]
        path = LOOP_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
        ring = [_moved(looped, atom, d) for d in path]
        answered = context.evaluate(ring, ("energy", "forces"))
        paths.append(path)
        along.append(_of_atom(answered, atom))
    context.save("loop.positions", np.array(paths))
    context.save("loop.forces", np.array(along))


# ---------------------------------------------------------------- scan lines
@dataclass(frozen=True)
class _Line:
    """An atom that is led along a line: energy and the force along it."""

    context: Context
    frame: Structure
    atom: int
    direction: np.ndarray  # (3,) of length 1

    def ask(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (n,) eV and forces along the line (n,) eV/A at displacements x (n,) A."""
        wanted = [_moved(self.frame, self.atom, s * self.direction) for s in x]
        found = self.context.evaluate(wanted, ("energy", "forces"))
        return np.array([a.energy for a in found]), _of_atom(found, self.atom) @ self.direction


def scans(
    context: Context, frames: list[Structure], n_lines: int, reach: float, rng: np.random.Generator
) -> None:
    """Lines through the frames; where most seems to happen they are looked at again, ten times as finely."""
    rows, atoms, directions = [], [], []
    for number in range(n_lines):
        frame = frames[number % len(frames)]
        atom, direction, x = _line_of(frame, reach, rng)
        line = _Line(context, frame, atom, direction)
        atoms.append([number % len(frames), atom])
        directions.append(direction)
        coarse = (x, *line.ask(x))
        stretches = [(0, *coarse)]
        for middle in _suspects(*coarse):
            fine = np.arange(max(middle - ZOOM, x[0]), min(middle + ZOOM, x[-1]) + FINE / 2, FINE)
            stretches.append((len(stretches), fine, *line.ask(fine)))
        for region, s, energy, force in stretches:
            rows.append(np.stack([np.full_like(s, number), np.full_like(s, region), s, energy, force]))
    context.save("scan.rows", np.concatenate(rows, axis=1))  # (5, n): line, stretch, x, E, F
    context.save("scan.atoms", np.array(atoms))  # (n_lines, 2): frame, atom
    context.save("scan.directions", np.array(directions))


def _line_of(frame: Structure, reach: float, rng: np.random.Generator) -> tuple[int, np.ndarray, np.ndarray]:
    """An atom, a direction, displacements: there and back within matter, outwards from what is finite."""
    if frame.pbc.any():
        direction = rng.normal(size=3)
        atom, x = (
            int(rng.integers(len(frame))),
            COARSE * np.arange(-round(reach / COARSE), reach / COARSE + 0.5),
        )
    else:
        middle = frame.positions.mean(axis=0)
        direction = rng.normal(size=3)
        atom = int(np.argmax((frame.positions - middle) @ direction))
        if len(frame) > 1 and np.linalg.norm(frame.positions[atom] - middle) > 1e-3:
            direction = frame.positions[atom] - middle
        x = COARSE * np.arange(-round(0.5 * reach / COARSE), AWAY / COARSE + 0.5)
    return atom, direction / np.linalg.norm(direction), x


def _suspects(x: np.ndarray, energy: np.ndarray, force: np.ndarray) -> list[float]:
    """Where jumps of energy, force and slope look largest; stretches about them do not overlap."""
    if not (np.isfinite(energy).all() and np.isfinite(force).all()):
        return []
    at_energy, at_force = smoothness.breaks(x, energy), smoothness.breaks(x, force)
    found: list[float] = []
    for sizes in (at_energy.jump, at_force.jump, at_force.slope_jump):
        middle = float(at_force.position[int(np.argmax(np.abs(sizes)))])
        if all(abs(middle - other) > ZOOM for other in found):
            found.append(middle)
    return found


def _moved(frame: Structure, atom: int, displacement: np.ndarray) -> Structure:
    positions = frame.positions.copy()
    positions[atom] += displacement
    return frame.with_positions(positions)


def _unit_strain(a: int, b: int) -> np.ndarray:
    strain = np.zeros((3, 3))
    strain[a, b] += 0.5
    strain[b, a] += 0.5
    return strain


def _strained(frame: Structure, strain: np.ndarray) -> Structure:
    deformation = np.eye(3) + strain
    return frame.with_positions(frame.positions @ deformation, frame.cell @ deformation)
