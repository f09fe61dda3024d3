"""Broken potentials whose fault is not in what they answer at first, but in what a call does.

`use: mlipbench.potentials.faulty_process:hangs` with `kwargs: {base: ..., ...}`, as in `faulty`.
"""

from __future__ import annotations

import os
import signal
import time
from abc import abstractmethod
from dataclasses import replace

import numpy as np

from mlipbench.core.potential import BatchEvaluation
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.potentials.faulty import Base, Faulty


class _AfterCalls(Faulty):
    """Sound for `after_calls` calls; then the fault."""

    def __init__(self, base: Base, after_calls: int = 0) -> None:
        super().__init__(base, after_calls=after_calls)
        self.after_calls, self._calls = after_calls, 0

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Counts."""
        self._calls += 1
        return answer if self._calls <= self.after_calls else self.strike(answer)

    @abstractmethod
    def strike(self, answer: BatchEvaluation) -> BatchEvaluation:
        """What happens in the end."""


class not_a_number(_AfterCalls):
    """Energies and forces become NaN."""

    def strike(self, answer: BatchEvaluation) -> BatchEvaluation:
        """Answers NaN."""
        return replace(answer, energies=answer.energies * np.nan, forces=answer.forces * np.nan)


class raises(_AfterCalls):
    """An exception of a calculator's own."""

    def strike(self, answer: BatchEvaluation) -> BatchEvaluation:
        """Raises RuntimeError."""
        raise RuntimeError(f"the faulty potential fails in call {self._calls}, as it was told to")


class hangs(_AfterCalls):
    """A call that never returns."""

    def strike(self, answer: BatchEvaluation) -> BatchEvaluation:
        """Sleeps for ever."""
        while True:
            time.sleep(3600)


class kills_the_interpreter(_AfterCalls):
    """The process ends as by a segmentation fault, with no exception to catch."""

    def strike(self, answer: BatchEvaluation) -> BatchEvaluation:
        """Ends the process."""
        os.kill(os.getpid(), signal.SIGKILL)
        return answer


class leaks_memory(Faulty):
    """Every call keeps some memory."""

    def __init__(self, base: Base, megabytes_per_call: float = 50.0) -> None:
        super().__init__(base, megabytes_per_call=megabytes_per_call)
        self._size, self._kept = int(megabytes_per_call * 2**20), list[bytes]()

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Fills memory with ones, so that it is really taken."""
        self._kept.append(b"\x01" * self._size)
        return answer
