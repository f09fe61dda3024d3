"""Errors of a network over a set of frames: sums that grow batch by batch, and per frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mlipbench.analysis.stats import bootstrap, cluster_sums, clusters_of
from mlipbench.core.structure import BoolArray, FloatArray, LabelledFrame
from mlipbench.core.training import ErrorRow, Errors, FrameErrors, Part
from mlipbench.model.derivatives import predict
from mlipbench.model.network import Committee, Network
from mlipbench.training.batches import FrameSet, in_turn
from mlipbench.training.group import Group
from mlipbench.training.losses import TERMS, LossFunction, Targets, Term
from mlipbench.training.losses import errors as errors_of

_FIELDS: Mapping[Term, str] = {"energy_per_atom": "energy", "forces": "forces", "stress": "stress"}


class ErrorSums:
    """Sums over components with a label: their number, |error|, error^2, for each term."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(TERMS), 3, dtype=torch.float64)
        self.n_frames = torch.zeros(1, dtype=torch.float64)

    def add(self, found: Mapping[Term, tuple[torch.Tensor, torch.Tensor]], targets: Targets) -> None:
        """The errors of a batch, as `losses.errors` gives them."""
        self.n_frames += len(targets.n_atoms)
        for row, term in enumerate(TERMS):
            if term in found:
                error, weight = found[term]
                chosen = error.detach()[(weight > 0).expand_as(error)]
                values = (len(chosen), float(chosen.abs().sum()), float((chosen * chosen).sum()))
                self.sums[row] += torch.tensor(values, dtype=torch.float64)

    def tensors(self) -> list[torch.Tensor]:
        """What is summed over processes, and kept in checkpoints."""
        return [self.sums, self.n_frames]

    def errors(self) -> Errors:
        """Averages, in thousandths."""
        values: dict[str, float] = {}
        for (count, absolute, squared), term in zip(self.sums.tolist(), TERMS, strict=True):
            if count:
                values[f"{_FIELDS[term]}_mae"] = 1e3 * absolute / count
                values[f"{_FIELDS[term]}_rmse"] = 1e3 * (squared / count) ** 0.5
        return Errors(n_frames=int(self.n_frames), **values)


def validate(
    network: Network, frames: FrameSet, loss: LossFunction, batch_size: int, group: Group
) -> tuple[dict[Term, float], Errors]:
    """The terms of the loss over the whole set, and its errors."""
    device, dtype = network.embedding.device, network.embedding.dtype
    whole = frames.size(range(len(frames)))
    terms = torch.zeros(len(loss.weights), dtype=torch.float64)
    sums = ErrorSums()
    for numbers in in_turn(len(frames), batch_size):
        mine = group.share(numbers)
        if not mine:
            continue
        batch = frames.batch(mine).to(device, dtype)
        prediction = predict(network, batch.graph, loss.forces, loss.stress)
        shares = loss.terms(prediction, batch.targets, batch.graph, whole)
        terms += torch.stack([share.detach().cpu() for share in shares.values()])
        sums.add(errors_of(prediction, batch.targets, batch.graph), batch.targets)
    group.sum([terms, *sums.tensors()])
    return dict(zip(loss.weights, terms.tolist(), strict=True)), sums.errors()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Answers for a set, frame by frame."""

    frames: list[FrameErrors]
    trajectories: list[str]
    sums: FloatArray  # (n_frames, 8): |e|, e^2 of the energy, sum |e|, e^2, number; the same of the stress


def evaluate(potential: Committee, frames: FrameSet, part: Part, batch_size: int) -> Evaluation:
    """Errors of every frame, of a committee those of its mean."""
    weights = next(potential.parameters())
    found, sums, trajectories = [], [], []
    for numbers in in_turn(len(frames), batch_size):
        batch = frames.batch(numbers).to(weights.device, weights.dtype)
        stress = any(frames.frames[n].stress is not None for n in numbers)
        prediction = predict(potential, batch.graph, True, stress)
        deviations = {
            term: error.cpu().numpy()
            for term, (error, _) in errors_of(prediction, batch.targets, batch.graph).items()
        }
        owner = batch.graph.structure.cpu().numpy()
        for row, number in enumerate(numbers):
            frame = frames.frames[number]
            energy = deviations["energy_per_atom"][[row]] if frame.energy is not None else None
            force = deviations["forces"][owner == row].ravel() if frame.forces is not None else None
            tension = deviations["stress"][row].ravel() if frame.stress is not None else None
            found.append(_of_frame(frame, part, energy, force, tension))
            sums.append([*_sums(energy)[:2], *_sums(force), *_sums(tension)])
            trajectories.append(frame.trajectory)
    return Evaluation(found, trajectories, np.array(sums))


def _of_frame(
    frame: LabelledFrame,
    part: Part,
    energy: FloatArray | None,
    force: FloatArray | None,
    stress: FloatArray | None,
) -> FrameErrors:
    return FrameErrors(
        part=part,
        label=frame.label,
        config_type=frame.config_type,
        n_atoms=len(frame.structure),
        energy=None if energy is None else 1e3 * float(energy[0]),
        forces_rmse=None if force is None else 1e3 * float(np.sqrt((force**2).mean())),
        largest_force=None if force is None else 1e3 * float(np.abs(force).max()),
        stress_rmse=None if stress is None else 1e3 * float(np.sqrt((stress**2).mean())),
    )


def _sums(error: FloatArray | None) -> tuple[float, float, float]:
    """sum |e|, sum e^2, number; NaN, NaN, 0 where there is no label."""
    if error is None:
        return np.nan, np.nan, 0.0
    return float(np.abs(error).sum()), float((error * error).sum()), float(len(error))


def error_rows(evaluation: Evaluation, part: Part) -> list[ErrorRow]:
    """Errors of all frames, then of each config_type where there are several."""
    kinds = np.array([frame.config_type for frame in evaluation.frames])
    chosen: list[tuple[str, BoolArray]] = [("", np.ones(len(kinds), dtype=np.bool_))]
    if len(set(kinds)) > 1:
        chosen += [(str(kind), kinds == kind) for kind in sorted(set(kinds))]
    return [_row(evaluation, part, kind, mask) for kind, mask in chosen]


def _row(evaluation: Evaluation, part: Part, kind: str, mask: BoolArray) -> ErrorRow:
    sums = evaluation.sums[mask]
    names = [name for name, there in zip(evaluation.trajectories, mask, strict=True) if there]
    energy = np.column_stack([sums[:, :2], np.isfinite(sums[:, 0]).astype(float)])
    values: dict[str, float] = {}
    stderr: dict[str, float | None] = {}
    for name, columns in (("energy", energy), ("forces", sums[:, 2:5]), ("stress", sums[:, 5:8])):
        known = columns[:, 2] > 0
        if not known.any():
            continue
        total = columns[known].sum(axis=0)
        values[f"{name}_mae"] = 1e3 * total[0] / total[2]
        values[f"{name}_rmse"] = 1e3 * float(np.sqrt(total[1] / total[2]))
        stderr[name] = _stderr(columns[known], [n for n, k in zip(names, known, strict=True) if k])
    return ErrorRow(
        part=part,
        config_type=kind,
        errors=Errors(n_frames=int(mask.sum()), **values),
        energy_mae_stderr=stderr.get("energy"),
        forces_mae_stderr=stderr.get("forces"),
    )


def _stderr(columns: FloatArray, names: list[str]) -> float | None:
    """Of the mean absolute error, in thousandths; over trajectories, or frames where they have none."""
    clusters, n_clusters, _ = clusters_of(names)
    sums = cluster_sums(columns, clusters, n_clusters)
    found = bootstrap(sums, lambda s: s[..., 0] / s[..., 2], sums[:, 2], np.random.default_rng(0))
    return None if found.stderr is None else 1e3 * found.stderr
