"""Which frames are held out: whole trajectories, since neighbours in time are nearly the same, stretches of
one, or any."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.structure import IntArray

By = Literal["trajectory", "random"]


def split(
    trajectories: Sequence[str], valid: float, test: float, by: By, seed: int
) -> tuple[list[int], list[int], list[int]]:
    """Frames to train on, to validate on, to test on, each in rising order.

    `trajectories` names the trajectory of every frame; frames without a name count as one each. A part is
    filled with whole groups, in an order that the seed decides, up to the number of frames that is nearest
    to its fraction. Raises DataError where a part that is asked for, or the rest, would be empty.
    """
    groups: dict[str, list[int]] = {}
    for number, name in enumerate(trajectories):
        groups.setdefault(name if name and by == "trajectory" else f"\0{number}", []).append(number)
    names = sorted(groups)
    shuffled = [groups[names[k]] for k in np.random.default_rng(seed).permutation(len(names))]
    parts: list[list[int]] = []
    for fraction in (test, valid):
        wanted, part = fraction * len(trajectories), list[int]()
        while shuffled and abs(len(part) + len(shuffled[0]) - wanted) < abs(len(part) - wanted):
            part += shuffled.pop(0)
        if fraction and not part:
            part += shuffled.pop(0) if len(shuffled) > 1 else []
        parts.append(sorted(part))
    rest = sorted(number for group in shuffled for number in group)
    for name, fraction, part in (("test", test, parts[0]), ("valid", valid, parts[1]), ("train", 1.0, rest)):
        if fraction and not part:
            raise DataError(
                f"{len(trajectories)} frames in {len(groups)} groups (trajectories, or single frames) cannot "
                f"be split: no frame is left for the {name} set (fractions {valid:g} validation, {test:g} "
                "test); give more trajectories, name a file for that set, or split at random"
            )
    return rest, parts[1], parts[0]


def contiguous(
    order: IntArray, n_blocks: int, valid: Collection[int], test: Collection[int], gap: int
) -> tuple[list[int], list[int], list[int]]:
    """Frames to train on, to validate on, to test on, each in the order of time.

    `order` (n_frames,) are the frames in time, cut into `n_blocks` blocks, of which `valid` and `test` are
    held out (block numbers, from 0). The `gap` frames before and behind a held-out block are in no part.
    """
    blocks = np.array_split(order, n_blocks)
    held = {*valid, *test}
    kept = [
        block[gap * (number - 1 in held) : len(block) - gap * (number + 1 in held)]
        for number, block in enumerate(blocks)
        if number not in held
    ]
    parts = [[blocks[n] for n in sorted(part)] for part in (valid, test)]
    train, validate, check = (np.concatenate(part).tolist() for part in (kept, *parts))
    return train, validate, check
