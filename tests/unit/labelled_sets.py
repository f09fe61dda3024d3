"""What holds for every labelled set that is shipped."""

import hashlib
import json

import numpy as np

from mlipbench.core.shipped import reference_data
from mlipbench.data.references import Manifest

PARTS = ("train", "val", "test")


def parts_of(prefix):
    """Frames of each part."""
    manifest = Manifest.load(reference_data())
    return {part: manifest.frames(f"{prefix}_{part}") for part in PARTS}


def assert_frozen(prefix, parts, split):
    """Each frame once, where `split` puts its name, in the files that the provenance records."""
    folder = reference_data() / prefix.split("_")[0]
    provenance = json.loads((folder / "provenance.json").read_text())["files"]
    seen: list[str] = []
    for part, frames in parts.items():
        assert {split[f.trajectory] for f in frames} == {part}
        names = sorted(name for name in split if split[name] == part)
        record = provenance[f"{prefix}_{part}.extxyz"]
        assert record["split_sha256"] == hashlib.sha256("\n".join(names).encode()).hexdigest()
        file = folder / f"{prefix}_{part}.extxyz"
        assert record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert record["frames"] == len(frames)
        seen += [f.trajectory for f in frames]
    assert len(seen) == len(set(seen))


class ColdCurve:
    """Energies of perfect crystals over their volume, atom by atom.

    Birch-Murnaghan energies are a polynomial in x = V^(-2/3), here of fourth order.
    """

    def __init__(self, frames):
        perfect = sorted((f for f in frames if f.config_type == "volume"), key=lambda f: f.structure.volume)
        self.volumes = np.array([f.structure.volume / len(f.structure) for f in perfect])
        energies = np.array([f.energy / len(f.structure) for f in perfect])
        self.pressures = np.array([-np.trace(f.stress) / 3 for f in perfect])
        self._fit = np.polynomial.Polynomial.fit(self.volumes ** (-2 / 3), energies, 4)

    def derived(self):
        """-dE/dV at the volumes, eV/A^3."""
        v = self.volumes
        return self._fit.deriv()(v ** (-2 / 3)) * (2 / 3) * v ** (-5 / 3)

    def rest(self):
        """Volume an atom (A^3) and bulk modulus (eV/A^3) at the lowest energy."""
        grid = np.linspace(self.volumes.min(), self.volumes.max(), 20001)
        energies = self._fit(grid ** (-2 / 3))
        k, step = int(energies.argmin()), grid[1] - grid[0]
        second = (energies[k + 50] - 2 * energies[k] + energies[k - 50]) / (50 * step) ** 2
        return grid[k], grid[k] * second
