"""The time order of shuffled frames of one run, rebuilt from how far the atoms have moved."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray


def time_order(positions: FloatArray, cell: FloatArray) -> IntArray:
    """Frames (n_frames,) by number, chained from each to the closest that is left.

    positions (n_frames, n_atoms, 3) A, of the same atoms in the same order; cell (3, 3) A, rows are lattice
    vectors. The distance of two frames is the r.m.s. displacement of their atoms, nearest images taken. The
    chain begins at an end of the run: the frame that is farthest from the one farthest from the first.
    Whether time runs forwards or backwards the frames do not tell. Right to within neighbours where the
    frames lie closer than the system's memory, so that the displacement grows with time; a run that comes
    back to where it was (a crystal, a molecule) is not put in order.
    """
    inverse = np.linalg.inv(cell)

    def distances(n: int) -> FloatArray:
        moved = positions - positions[n]
        moved -= np.round(moved @ inverse) @ cell
        return np.asarray(np.sqrt((moved**2).sum(axis=2).mean(axis=1)))

    start = int(np.argmax(distances(int(np.argmax(distances(0))))))
    chain, left = [start], set(range(len(positions))) - {start}
    while left:
        d = distances(chain[-1])
        chain.append(min(left, key=lambda n: float(d[n])))
        left.remove(chain[-1])
    return np.array(chain, dtype=np.int64)
