"""Configurations in the words of mace-torch: its names of options become ours, with their places.

Options that have no counterpart here stay, and are refused as unknown keys.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mlipbench.config.problems import KeyPath, Problem
from mlipbench.config.source import Source
from mlipbench.model.mace_torch import BLOCKS

NAMES: Mapping[str, str] = {
    "num_interactions": "num_layers",
    "num_bessel": "num_radial_basis",
    "radial_MLP": "radial_mlp",
    "num_cutoff_basis": "num_polynomial_cutoff",
    "MLP_irreps": "readout_mlp",
    "pair_repulsion": "zbl",
    "default_dtype": "dtype",
    "foundation_model": "start_from",
    "apply_cutoff": "cutoff_acts_on",
    "energy_key": "keys.energy",
    "forces_key": "keys.forces",
    "stress_key": "keys.stress",
    "virials_key": "keys.virial",
}
"""Option of mace-torch -> ours, where they differ; a dot leads into a section."""

_SCALINGS = {"rms_forces_scaling": "rms_forces", "std_scaling": "std", "no_scaling": "none"}
_SCHEDULERS = {"ReduceLROnPlateau": "plateau"}


def _readout(value: Any) -> Any:
    """16x0e -> 16."""
    found = re.fullmatch(r"\s*(\d+)x0e\s*", value) if isinstance(value, str) else None
    return int(found.group(1)) if found else value


def _among(known: Mapping[str, str]) -> Callable[[Any], Any]:
    return lambda value: known.get(value, value) if isinstance(value, str) else value


VALUES: Mapping[str, Callable[[Any], Any]] = {
    "readout_mlp": _readout,
    "interaction": _among(BLOCKS),
    "interaction_first": _among(BLOCKS),
    "scaling": _among(_SCALINGS),
    "scheduler": _among(_SCHEDULERS),
    "distance_transform": lambda value: value.lower() if isinstance(value, str) else value,
    "cutoff_acts_on": lambda value: (
        {True: "basis", False: "weights"}.get(value, value) if isinstance(value, bool) else value
    ),
    "radial_mlp": lambda value: _list(value) if isinstance(value, str) else value,
}


def _list(text: str) -> Any:
    """ "[64, 64]" -> [64, 64]: mace-torch takes it as text."""
    found = re.fullmatch(r"\s*\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]\s*", text)
    return [int(n) for n in found.group(1).split(",")] if found else text


def canonical(source: Source) -> Source:
    """The same file in our names and values."""
    table = _Renamed(source)
    table.irreps()
    table.averaging()
    table.heads()
    for theirs, ours in NAMES.items():
        if theirs in table.data:
            table.move((theirs,), tuple(ours.split(".")))
    for name, translate in VALUES.items():
        if name in table.data:
            table.data[name] = translate(table.data[name])
    return table.source()


class _Renamed:
    """A file on its way into our names."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.data: dict[str, Any] = copy.deepcopy(source.data)
        self.keys, self.values = dict(source.keys), dict(source.values)
        self.problems: list[Problem] = []

    def source(self) -> Source:
        problems = (*self._source.problems, *self.problems)
        return replace(self._source, data=self.data, keys=self.keys, values=self.values, problems=problems)

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """Move a value of the top level, or of a section, to another key."""
        value = self._take(old)
        parent = self.data
        for part in new[:-1]:
            inner = parent.setdefault(str(part), {})
            if not isinstance(inner, dict):
                return
            parent = inner
        if new[-1] in parent:
            self._twice(old, new)
            return
        parent[str(new[-1])] = value
        for depth in range(1, len(new) + 1):
            self._place(old, new[:depth], over=depth == len(new))

    def _take(self, path: KeyPath) -> Any:
        parent: Any = self.data
        for part in path[:-1]:
            parent = parent[part]
        return parent.pop(path[-1])

    def _twice(self, old: KeyPath, new: KeyPath) -> None:
        name = ".".join(map(str, new))
        self.problems.append(
            self._source.problem(
                old, f"says the same as {name}, which is there too", hint="keep one", key=True
            )
        )

    def _place(self, old: KeyPath, new: KeyPath, over: bool) -> None:
        """`new` stands where `old` stood."""
        for table in (self.keys, self.values):
            if old in table and (over or new not in table):
                table[new] = table[old]
        if over:
            below = [path for path in self.values if path[: len(old)] == old and len(path) > len(old)]
            for path in below:
                moved = (*new, *path[len(old) :])
                self.values[moved] = self.values[path]
                if path in self.keys:
                    self.keys[moved] = self.keys[path]

    def irreps(self) -> None:
        """num_channels and max_L -> hidden_irreps."""
        channels, most = self.data.get("num_channels"), self.data.get("max_L")
        if channels is None and most is None:
            return
        if "hidden_irreps" in self.data:
            self._twice(("num_channels",) if channels is not None else ("max_L",), ("hidden_irreps",))
        if not _is_int(channels) or not _is_int(most):
            have = "num_channels" if channels is not None else "max_L"
            self.problems.append(
                self._source.problem(
                    (have,), "num_channels and max_L go together", "two integers", hint="or say hidden_irreps"
                )
            )
        else:
            parts = [f"{channels}x{order}{'eo'[order % 2]}" for order in range(int(str(most)) + 1)]
            self.data["hidden_irreps"] = " + ".join(parts)
            self._place(("num_channels",), ("hidden_irreps",), over=True)
        self.data.pop("num_channels", None)
        self.data.pop("max_L", None)

    def averaging(self) -> None:
        """`ema: false` -> no decay; `ema: true` is the default."""
        if isinstance(self.data.get("ema"), bool) and not self.data.pop("ema"):
            self.data["ema_decay"] = None
            self._place(("ema",), ("ema_decay",), over=True)

    def heads(self) -> None:
        """`heads: {default: {info_keys: ..., arrays_keys: ...}}` -> keys."""
        heads = self.data.get("heads")
        if not isinstance(heads, dict) or len(heads) != 1:
            return  # none, or several: refused as an unknown key
        ((name, head),) = heads.items()
        sections = [s for s in ("info_keys", "arrays_keys") if isinstance(head, dict) and s in head]
        if not isinstance(head, dict) or len(sections) != len(head):
            return
        for section in sections:
            for label in list(head[section]) if isinstance(head[section], dict) else ():
                self.move(("heads", name, section, label), ("keys", label))
        del self.data["heads"]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
