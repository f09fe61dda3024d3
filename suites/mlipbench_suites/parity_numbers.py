"""Arrays of the suite `parity` and the numbers drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlipbench.api import Data, Measurement, Structure, Table, parity, stats, structure, structured


@dataclass(frozen=True, eq=False)
class Answers:
    """Frames, labels and answers, as `produce` stored them."""

    labels: parity.Labels
    positions: np.ndarray  # (n_atoms, 3) A
    masses: np.ndarray  # (n_atoms,) u
    cells: np.ndarray  # (n_frames, 3, 3) A
    pbc: np.ndarray  # (n_frames, 3)
    stress: np.ndarray  # (n_frames, 3, 3) eV/A^3, labels
    stress_predicted: np.ndarray | None  # (n_frames, 3, 3) eV/A^3
    temperatures: np.ndarray  # (n_frames,) K, NaN where the file does not say
    config_types: list[str]
    names: list[str]  # where a reader finds each frame
    clusters: np.ndarray  # (n_frames,)
    n_clusters: int
    cluster_words: str

    @classmethod
    def load(cls, data: Data) -> Answers:
        """From stored arrays."""
        n_atoms = data.array("n_atoms")
        labels = parity.Labels(
            frame=np.repeat(np.arange(len(n_atoms)), n_atoms),
            numbers=data.array("numbers"),
            energy=data.array("energy"),
            energy_predicted=data.array("energy_predicted"),
            forces=data.array("forces"),
            forces_predicted=data.array("forces_predicted"),
        )
        clusters, n_clusters, words = stats.clusters_of([str(x) for x in data.array("trajectory")])
        has_stress = data.has("stress_predicted")
        return cls(
            labels=labels,
            positions=data.array("positions"),
            masses=data.array("masses"),
            cells=data.array("cells"),
            pbc=data.array("pbc"),
            stress=data.array("stress"),
            stress_predicted=data.array("stress_predicted") if has_stress else None,
            temperatures=data.array("temperature"),
            config_types=[str(x) for x in data.array("config_type")],
            names=[str(x) for x in data.array("label")],
            clusters=clusters,
            n_clusters=n_clusters,
            cluster_words=words,
        )

    @property
    def evidence(self) -> dict[str, float]:
        """What a criterion may ask for."""
        return {"frames": float(self.labels.n_frames), "trajectories": float(self.n_clusters)}

    @property
    def force_errors(self) -> np.ndarray:
        """(n_atoms, 3) eV/A, predicted less label."""
        return self.labels.forces_predicted - self.labels.forces

    @property
    def atom_clusters(self) -> np.ndarray:
        """(n_atoms,)."""
        return self.clusters[self.labels.frame]

    def atoms_of(self, frame: int) -> np.ndarray:
        """Indices of the atoms of a frame."""
        return np.flatnonzero(self.labels.frame == frame)

    def structure_of(self, frame: int) -> Structure:
        """A frame as a structure."""
        atoms = self.atoms_of(frame)
        return Structure(
            self.labels.numbers[atoms],
            self.positions[atoms],
            self.cells[frame],
            self.pbc[frame],
            self.masses[atoms],
        )

    @cached_property
    def pairs(self) -> list[structure.Pairs]:
        """Neighbours of each frame."""
        frames = [self.structure_of(k) for k in range(self.labels.n_frames)]
        cutoff = structured.PAIR_CUTOFF_A
        return [structure.pairs(f.positions, f.cell, f.pbc, cutoff) for f in frames]

    @property
    def temperatures_tell(self) -> bool:
        """Whether every frame has a temperature, and not all the same."""
        return bool(np.isfinite(self.temperatures).all() and np.ptp(self.temperatures) > 0)

    @cached_property
    def features(self) -> structured.Features:
        """Density, energy, closest contact and temperature (or r.m.s. force) of each frame."""
        n = np.bincount(self.labels.frame)
        volume = np.abs(np.linalg.det(self.cells))
        periodic = self.pbc.all(axis=1) & (volume > 0)
        mass = np.bincount(self.labels.frame, self.masses)
        density = np.where(periodic, 1.66053907 * mass / np.where(periodic, volume, 1.0), np.nan)
        energy, _ = parity.composition_residual(self.labels.energy / n, self.labels.counts[1])
        contact = np.array([p.distances.min() if len(p.distances) else np.nan for p in self.pairs])
        heat, name = self.temperatures, "temperature (K)"
        if not self.temperatures_tell:
            squared = np.bincount(self.labels.frame, (self.labels.forces**2).sum(axis=1)) / n
            heat, name = np.sqrt(squared), "r.m.s. force (eV/A)"
        return structured.Features(
            ("density (g/cm^3)", "energy (eV/atom)", "closest contact (A)", name),
            np.column_stack([density, energy, contact, heat]),
        )


@dataclass(frozen=True)
class Summaries:
    """Errors of each quantity; None where labels are missing."""

    energy: parity.ErrorSummary | None
    energy_as_is: parity.ErrorSummary | None
    energy_spread: parity.ErrorSummary | None  # compositions' means removed, compositions of one left out
    forces: parity.ErrorSummary | None
    stress: parity.ErrorSummary | None
    pressure: parity.ErrorSummary | None
    fitted: int


def summarise(answers: Answers, align: parity.Alignment, rng: np.random.Generator) -> Summaries:
    """All error averages with their error bars."""
    labels, clusters, n = answers.labels, answers.clusters, answers.n_clusters

    def over(
        errors: np.ndarray, baseline: np.ndarray, owner: np.ndarray, used_up: int = 0
    ) -> parity.ErrorSummary | None:
        if not (np.isfinite(errors) & np.isfinite(baseline)).any():
            return None
        errors = np.where(np.isfinite(baseline), errors, np.nan)
        return parity.summarise(errors, baseline, owner, n, rng, used_up)

    atoms = np.bincount(labels.frame)
    spread, company = parity.composition_residual(labels.energy / atoms, labels.counts[1])
    raw = (labels.energy_predicted - labels.energy) / atoms
    stress = pressure = None
    if answers.stress_predicted is not None:
        wrong = parity.voigt(answers.stress_predicted - answers.stress)
        asked = parity.voigt(answers.stress)
        stress = over(wrong.reshape(-1), asked.reshape(-1), np.repeat(clusters, 6))
        pressure = over(-wrong[:, :3].mean(axis=1), -asked[:, :3].mean(axis=1), clusters)
    return Summaries(
        energy=over(align.errors, spread, clusters, align.fitted),
        energy_as_is=over(raw, spread, clusters),
        energy_spread=over(np.where(company, align.errors, np.nan), spread, clusters, align.fitted),
        forces=over(
            answers.force_errors.reshape(-1), labels.forces.reshape(-1), np.repeat(answers.atom_clusters, 3)
        ),
        stress=stress,
        pressure=pressure,
        fitted=align.fitted,
    )


def systematic(
    answers: Answers, align: parity.Alignment, rng: np.random.Generator
) -> tuple[list[Measurement], list[Table]]:
    """Systematic shares of energy and force errors, and the tables that show where they lie."""
    features, errors = answers.features, answers.force_errors
    found, tables = [], []
    method = f"1 - SSE / SST of a model of the error, five folds and bootstrap over {answers.cluster_words}"
    shares = {}
    if np.isfinite(align.errors).any():
        shares["energy_systematic_share"] = structured.scalar_share(
            align.errors, features, answers.clusters, answers.n_clusters, rng
        )
        tables.append(_binned_table("energy error (meV/atom)", 1000 * align.errors, answers))
    if np.isfinite(errors).any():
        shares["force_systematic_share"] = structured.force_share(
            errors, _force_basis(answers), answers.atom_clusters, answers.n_clusters, rng
        )
        tables.append(_pair_table(answers, errors))
    for name, share in shares.items():
        if np.isfinite(share.value):
            found.append(
                Measurement(
                    name=name,
                    value=share.value,
                    unit="1",
                    stderr=share.stderr,
                    n_eff=share.n_eff,
                    evidence=answers.evidence,
                    method=method,
                    note="0 or below: random as far as the model sees; near 1: the same wrong answer "
                    "whenever the same corner is visited, which accumulates along a trajectory",
                )
            )
    return found, tables


def _force_basis(answers: Answers) -> np.ndarray:
    """(n_atoms, 3, p): scaled label forces and pair forces, times 1, density, energy, temperature."""
    x = structured.design(
        structured.Features(answers.features.names, answers.features.values[:, [0, 1, 3]]), squares=False
    )
    blocks = []
    for frame, near in enumerate(answers.pairs):
        atoms = answers.atoms_of(frame)
        forces = answers.labels.forces[atoms][:, :, None]
        basis = np.concatenate([forces, structured.pair_basis(near, len(atoms))], axis=2)
        blocks.append((basis[:, :, :, None] * x[frame]).reshape(len(atoms), 3, -1))
    return np.concatenate(blocks)


def _binned_table(what: str, errors: np.ndarray, answers: Answers) -> Table:
    rows: list[list[str | float | int | None]] = []
    for name, column in zip(answers.features.names, answers.features.values.T, strict=True):
        bins = structured.binned(column, errors, answers.clusters, 5)
        rows.extend([name, b.centre, b.mean, b.stderr, b.n] for b in bins)
    return Table(
        id="parity-energy-structure",
        caption=f"Mean signed {what} in bins of what describes a frame. A sound potential shows no trend; a "
        "trend is a systematic error that a mean absolute error does not see.",
        columns=["against", "bin at", "mean signed error", "standard error", "frames"],
        rows=rows,
    )


def _pair_table(answers: Answers, errors: np.ndarray) -> Table:
    """Pair-projected force error against distance: where the pressure-like error sits."""
    distances, projections, owners = [], [], []
    for frame, near in enumerate(answers.pairs):
        atoms = answers.atoms_of(frame)
        distances.append(near.distances)
        projections.append(structured.pair_projection(near, errors[atoms]))
        owners.append(np.full(len(near.distances), answers.clusters[frame]))
    r, y, c = (np.concatenate(parts) for parts in (distances, projections, owners))
    bins = structured.binned(r, 1000 * y, c, 8)
    return Table(
        id="parity-pair-error",
        caption="Force error along the line between two atoms, by their distance; positive pushes them "
        "apart, like too high a pressure. A sound potential shows zero within the errors.",
        columns=["distance (A)", "mean signed error (meV/A)", "standard error", "pairs"],
        rows=[[b.centre, b.mean, b.stderr, b.n] for b in bins],
    )
