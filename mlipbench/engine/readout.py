"""Readouts: from an atom's scalars to its energy, with the gradient by the scalars."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from mlipbench.engine.jit import inner


class Readout(NamedTuple):
    """E = x . w, or with a hidden layer E = g silu(x W) . w; normalisations are in the weights."""

    inner: Any  # (channels, hidden), hidden = 0: none
    outer: Any  # (channels,) or (hidden,)
    gain: float


@inner
def read(readout, scalars, begin, gradient, target):  # type: ignore[no-untyped-def]
    """The energy of an atom whose scalars begin at `begin`; its gradient is added from `target` on."""
    channels, hidden = readout.inner.shape
    energy = 0.0
    if hidden == 0:
        for c in range(channels):
            energy += scalars[begin + c] * readout.outer[c]
            gradient[target + c] += readout.outer[c]
        return energy
    z = np.zeros(hidden)
    for c in range(channels):
        for k in range(hidden):
            z[k] += scalars[begin + c] * readout.inner[c, k]
    for k in range(hidden):
        s = 1.0 / (1.0 + math.exp(-z[k]))
        energy += readout.gain * z[k] * s * readout.outer[k]
        z[k] = readout.gain * s * (1.0 + z[k] * (1.0 - s)) * readout.outer[k]
    for c in range(channels):
        total = 0.0
        for k in range(hidden):
            total += readout.inner[c, k] * z[k]
        gradient[target + c] += total
    return energy
