"""Calculators whose cost is known: one that sleeps, one that multiplies matrices in BLAS."""

from __future__ import annotations

import time

import numpy as np
from ase.calculators.lj import LennardJones

ARGON = {"sigma": 3.405, "epsilon": 0.010324, "rc": 6.8, "smooth": True}


class Sleeping(LennardJones):
    """Argon, late."""

    delay_s = 0.0

    def calculate(self, *arguments, **keywords):
        time.sleep(self.delay_s)
        super().calculate(*arguments, **keywords)


class Multiplying(LennardJones):
    """Argon, after a product of matrices in BLAS."""

    size = 1

    def calculate(self, *arguments, **keywords):
        matrix = np.full((self.size, self.size), 1e-3)
        matrix @ matrix
        super().calculate(*arguments, **keywords)


def sleeping(delay_s: float) -> LennardJones:
    """An answer takes `delay_s` longer."""
    calculator = Sleeping(**ARGON)
    calculator.delay_s = delay_s
    return calculator


def multiplying(size: int) -> LennardJones:
    """An answer takes a product of two (size, size) matrices longer."""
    calculator = Multiplying(**ARGON)
    calculator.size = size
    return calculator
