"""The loop: one network of the committee, from its first weights to those that are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch

from mlipbench.core.errors import StoreError
from mlipbench.core.training import Diagnosis, Epoch, Errors, MemberRecord
from mlipbench.model.derivatives import predict
from mlipbench.training import checkpoint
from mlipbench.training.batches import order
from mlipbench.training.diagnosis.divergence import explain
from mlipbench.training.evaluate import ErrorSums, validate
from mlipbench.training.group import Group
from mlipbench.training.journal import Journal
from mlipbench.training.losses import Term
from mlipbench.training.losses import errors as errors_of
from mlipbench.training.optim import LearningRate, set_learning_rate
from mlipbench.training.schema import Stage, TrainingConfig
from mlipbench.training.start import Start, atomic_energies_by_symbol
from mlipbench.training.weights import Weights

CHECKPOINT = "checkpoint.pt"

_NOT_OF_A_BATCH = ("nan.short_bond", "nan.e0s", "nan.learning_rate")  # causes that validation can have


class Display(Protocol):
    """Who is told how it goes."""

    def step(self, member: int, epoch: int, fraction: float, loss: float) -> None:
        """A step was taken; `fraction` of this member's epochs is done."""

    def epoch(self, member: int, epoch: Epoch) -> None:
        """An epoch has ended."""


@dataclass
class Progress:
    """Where the training stands; all of it is kept in checkpoints."""

    epoch: int = 0
    batch: int = 0  # the next one of the epoch
    stage: int = -1  # whose beginning has been prepared
    best: float = math.inf  # validation loss within the stage
    best_epoch: int | None = None
    waited: int = 0  # validations since
    ended: Literal["schedule", "patience", "diverged", "unfinished"] = "unfinished"
    message: str = ""
    causes: list[dict[str, str]] = field(default_factory=list)  # diagnoses, as plain data
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    loss: float = 0.0  # sums over the epoch so far
    terms: dict[str, float] = field(default_factory=dict)
    norm: float = 0.0
    clipped: int = 0
    structures: int = 0


class MemberTraining:
    """Trains one network, or goes on where a killed process has left it."""

    def __init__(
        self,
        config: TrainingConfig,
        start: Start,
        stages: list[Stage],
        member: int,
        folder: Path,
        digest: str,
        group: Group,
        display: Display,
    ) -> None:
        self.config, self.start, self.stages = config, start, stages
        self.member, self.seed = member, config.seed + member
        self.folder, self.digest, self.group, self.display = folder, digest, group, display
        self.weights = Weights(start.network(self.seed, member), config)
        self.progress = Progress()
        self.rate: LearningRate | None = None
        self.errors = ErrorSums()
        self.kept: dict[str, torch.Tensor] = self.weights.kept()
        self.journal = Journal(folder, group.leads)
        self._restore()

    # ---------------------------------------------------------------- the course
    def run(self) -> MemberRecord:
        """To the end of the last stage; what it was like."""
        self._clock = self._saved = time.monotonic()
        while self.progress.ended == "unfinished":
            stage = self._stage()
            if stage is None:
                self.progress.ended = "schedule"
            elif self._epoch(stage):
                self._finish_epoch(stage)
            self._save()
        return member_record(self.seed, self.progress, self.journal.epochs())

    def _stage(self) -> Stage | None:
        """The stage of the epoch at hand, prepared; None where the schedule has ended."""
        p = self.progress
        number = next((n for n, s in enumerate(self.stages) if s.start <= p.epoch <= s.end), None)
        if number is None:
            return None
        if number != p.stage:
            p.stage, p.best, p.waited = number, math.inf, 0
            self.rate = self._schedule(self.stages[number])
        return self.stages[number]

    def _schedule(self, stage: Stage) -> LearningRate:
        c = self.config
        lowest = min(c.lr_min, stage.lr)
        return LearningRate(c.scheduler, stage.lr, lowest, stage.n_epochs, c.lr_factor, c.scheduler_patience)

    # ---------------------------------------------------------------- an epoch
    def _epoch(self, stage: Stage) -> bool:
        """The steps that are left of the epoch; whether all went well."""
        p, frames = self.progress, self.start.train
        batches = order(len(frames), self.config.batch_size, self.seed, p.epoch)
        if self.rate is not None:
            set_learning_rate(self.weights.optimizer, self.rate.now)
        for number in range(p.batch, len(batches)):
            if not self._step(stage, batches[number]):
                return False
            p.batch = number + 1
            done = (p.epoch + p.batch / len(batches)) / (self.stages[-1].end + 1)
            self.display.step(self.member, p.epoch, done, p.loss / p.structures)
            if self.group.agree(time.monotonic() - self._saved) > 60 * self.config.checkpoint_minutes:
                self._save()
        return True

    def _step(self, stage: Stage, numbers: list[int]) -> bool:
        """One batch; False where its loss or gradient is no number."""
        p, loss = self.progress, stage.loss
        frames, weights = self.start.train, self.weights
        size = frames.size(numbers)
        mine = self.group.share(numbers)
        total = None
        values = torch.zeros(len(loss.weights), dtype=torch.float64)
        if mine:
            batch = frames.batch(mine).to(weights.device, weights.dtype)
            prediction = predict(
                weights.computing, batch.graph, loss.forces, loss.stress, differentiable=True
            )
            terms = loss.terms(prediction, batch.targets, batch.graph, size)
            total = torch.stack(list(terms.values())).sum()
            values = torch.stack([term.detach().cpu() for term in terms.values()])
            self.errors.add(errors_of(prediction, batch.targets, batch.graph), batch.targets)
        self.group.sum([values])
        norm = self.weights.step(total, self.group)
        if not math.isfinite(float(values.sum())) or not math.isfinite(norm):
            self._diverged(numbers, float(values.sum()), norm)
            return False
        shares: dict[Term, float] = dict(zip(loss.weights, values.tolist(), strict=True))
        self.journal.losses(p.epoch, p.batch, shares)
        p.loss += sum(shares.values()) * len(numbers)
        for term, share in shares.items():
            p.terms[term] = p.terms.get(term, 0.0) + share * len(numbers)
        p.norm += norm * len(numbers)
        p.clipped += len(numbers) * (self.config.clip_grad is not None and norm > self.config.clip_grad)
        p.structures += len(numbers)
        return True

    def _diverged(self, numbers: list[int], loss: float, norm: float) -> None:
        p = self.progress
        frames = [self.start.train.frames[n] for n in numbers]
        energies = atomic_energies_by_symbol(self.start.atomic_energies)
        lr = self.config.lr if self.rate is None else self.rate.now
        p.causes = _plain(explain(frames, energies, clip_grad=self.config.clip_grad, lr=lr))
        p.ended = "diverged"
        p.message = (
            f"epoch {p.epoch}, batch {p.batch}: the loss is {loss:g}, the norm of its gradient {norm:g}; "
            f"frames {', '.join(frame.label for frame in frames)}"
        )

    def _diverged_in_validation(self, loss: float) -> None:
        """The epoch has no line in the metrics: its numbers are none."""
        self._tick()
        p = self.progress
        energies = atomic_energies_by_symbol(self.start.atomic_energies)
        found = explain(self.start.valid.frames, energies, clip_grad=self.config.clip_grad, lr=self.config.lr)
        p.causes = _plain(d for d in found if d.id in _NOT_OF_A_BATCH)
        p.ended, p.message = "diverged", f"epoch {p.epoch}: the validation loss is {loss:g}"

    def _finish_epoch(self, stage: Stage) -> None:
        """Validate, keep the best weights, advance the learning rate, write the line of the epoch."""
        p, rate = self.progress, self.rate
        self.group.sum(self.errors.tensors())
        lr = rate.now if rate is not None else stage.lr
        last = p.epoch == stage.end
        terms: dict[Term, float] = {}
        valid: Errors | None = None
        loss: float | None = None
        if (p.epoch + 1) % self.config.eval_interval == 0 or last:
            size = self.config.valid_batch_size or self.config.batch_size
            network = self.weights.validated()
            terms, valid = validate(network, self.start.valid, stage.loss, size, self.group)
            loss = sum(terms.values())
            if not math.isfinite(loss):
                self._diverged_in_validation(loss)
                return
            self._judge(loss)
        if rate is not None:
            rate.advance(loss)
        self._tick()
        epoch = Epoch(
            epoch=p.epoch,
            stage=stage.name,
            lr=lr,
            seconds=p.epoch_seconds,
            train_loss=p.loss / p.structures,
            train_terms={term: share / p.structures for term, share in p.terms.items()},
            train=self.errors.errors(),
            valid_loss=loss,
            valid_terms={str(term): share for term, share in terms.items()},
            valid=valid,
            gradient_norm=p.norm / p.structures,
            clipped=p.clipped / p.structures,
        )
        self.journal.epoch(epoch)
        self.display.epoch(self.member, epoch)
        self._next(stage)

    def _judge(self, loss: float) -> None:
        p = self.progress
        if loss < p.best:
            p.best, p.best_epoch, p.waited = loss, p.epoch, 0
            self.kept = self.weights.kept()
        else:
            p.waited += 1

    def _next(self, stage: Stage) -> None:
        """To the next epoch, or where patience is over to the next stage."""
        p = self.progress
        p.epoch, p.batch = p.epoch + 1, 0
        p.loss, p.norm, p.clipped, p.structures, p.epoch_seconds = 0.0, 0.0, 0, 0, 0.0
        p.terms = {}
        self.errors = ErrorSums()
        if self.config.patience is not None and p.waited >= self.config.patience and p.epoch <= stage.end:
            p.epoch = stage.end + 1
            if stage is self.stages[-1] and p.ended == "unfinished":
                p.ended = "patience"

    # ---------------------------------------------------------------- checkpoints
    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self.progress.epoch_seconds += now - self._clock
        self._clock = now

    def _save(self) -> None:
        """Everything, so that a new process goes on bit for bit."""
        self._tick()
        self._saved = time.monotonic()
        sums = [tensor.clone() for tensor in self.errors.tensors()]
        self.group.sum(sums)
        if self.group.leads:
            state = {
                "digest": self.digest,
                "progress": vars(self.progress),
                "rate": None if self.rate is None else self.rate.state(),
                "errors": sums,
                "kept": self.kept,
                "journal": self.journal.lengths(),
                "weights": self.weights.state(),
            }
            checkpoint.save(self.folder / CHECKPOINT, state)
        self.group.wait()

    def _restore(self) -> None:
        state = checkpoint.load(self.folder / CHECKPOINT)
        if state is None:
            self.journal.cut({})
            return
        if state["digest"] != self.digest:
            raise StoreError(
                f"{self.folder / CHECKPOINT} belongs to another configuration or to other data; "
                "choose another folder with --output, or delete it to train anew"
            )
        self.progress = Progress(**state["progress"])
        self.weights.restore(state["weights"])
        self.kept = state["kept"]
        if self.group.leads:  # the sums are those of all processes together
            for tensor, stored in zip(self.errors.tensors(), state["errors"], strict=True):
                tensor.copy_(stored)
            self.journal.cut(state["journal"])
        if state["rate"] is not None:
            self.rate = self._schedule(self.stages[self.progress.stage])
            self.rate.restore(state["rate"])


def read_member(folder: Path, digest: str, seed: int) -> tuple[MemberRecord, dict[str, torch.Tensor]] | None:
    """A member as its folder has it: how it went, and the weights to keep; None where none was begun."""
    state = checkpoint.load(folder / CHECKPOINT)
    if state is None or state["digest"] != digest:
        return None
    return member_record(seed, Progress(**state["progress"]), Journal(folder).epochs()), state["kept"]


def _plain(found: Iterable[Diagnosis]) -> list[dict[str, str]]:
    """What a checkpoint can hold."""
    return [d.model_dump() for d in found]


def member_record(seed: int, progress: Progress, epochs: list[Epoch]) -> MemberRecord:
    """How a member's training went."""
    return MemberRecord(
        seed=seed,
        epochs=epochs,
        best_epoch=progress.best_epoch,
        ended=progress.ended,
        message=progress.message,
        causes=[Diagnosis.model_validate(cause) for cause in progress.causes],
        seconds=progress.seconds,
    )
