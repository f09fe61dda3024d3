"""Count the operations and bytes of a call of the engine and put them beside the times on record.

    python docs/make_speed.py WATER.xyz NACL.xyz

The files hold structures like those that docs/records/engine_speed.json was timed on (192 atoms of water, 64
of NaCl). What is counted is what the kernels of mlipbench.engine do for the compiled network: loops times
their lengths, a multiplication with an addition as two operations. Writes docs/records/engine_counts.json,
the tables of docs/speed.md, that of a GPU as it was timed, and that of the times in
docs/embedded-potential.md.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch

from mlipbench.core.structure import Structure
from mlipbench.engine.layers import Settings, compiled_layers
from mlipbench.engine.messages import _CONSTANT, _SHAPES
from mlipbench.engine.passes import Layer
from mlipbench.engine.splines import TERMS
from mlipbench.model.architecture import Architecture
from mlipbench.model.graph import arrays_of
from mlipbench.model.network import Network

DOCS = Path(__file__).parent
SPEED, COUNTS = DOCS / "records/engine_speed.json", DOCS / "records/engine_counts.json"
PAGE, TIMES = DOCS / "speed.md", DOCS / "embedded-potential.md"
# Of two cores with AVX-512, measured for the engine's trial: operations, and copies.
PEAK_GFLOP_PER_S = {"float64": 77.0, "float32": 196.0}
COPY_GB_PER_S = 6.5


def pair_operations(layer: Layer) -> int:
    """For a pair and a channel, there and back."""
    count = 0
    for shape in layer.paths.shape:
        n1, n3 = _SHAPES[shape]
        count += 2 * TERMS + 2 * 2 * TERMS  # R forward, R and R' backward
        if shape < _CONSTANT:
            count += 2 * n1 + (n1 + 2 * n1) + 2 * n1
        else:
            count += n1 + 2 * n1 * n3  # R h, M (R h)
            count += 2 * n1 * n3 + n3 + 2 * n1 * n3 + 3 * n1 + 2 * n1  # M^T g, R g, outer, dot, back
    return count


def atom_operations(layer: Layer, channels: int) -> tuple[int, int]:
    """For an atom, there and back: of linear maps (all channels), of the product (a channel)."""
    maps = (layer.onward, layer.down, layer.passing)  # without terms where there is none
    linear = sum(2 * 2 * len(one.row) * channels**2 for one in maps)
    product = layer.product
    made = len(product.parent) - product.width
    return linear, (made + 2 * len(product.monomial)) + (made + 2 * len(product.monomial) + 4 * made)


def numbers_moved(layer: Layer) -> int:
    """Numbers of an atom and a channel that one step of a layer hands to the next, there and back."""
    products = len(layer.product.first) - 1
    received = 0 if layer.direct else layer.paths.n_rows
    return 2 * 2 * (received + layer.product.width + products + layer.onward.rows_out)


def count(structure: Structure, channels: int, max_ell: int, dtype: str) -> dict[str, float]:
    """GFLOP and MB of one call, and the least times that they allow in ms."""
    shape = Architecture(
        elements=sorted(set(structure.numbers.tolist())),
        r_max=5.0,
        hidden_irreps=f"{channels}x0e+{channels}x1o",
        max_ell=max_ell,
        avg_num_neighbors=54.0,
    )
    pairs = len(arrays_of([structure], shape.elements, shape.r_max).receivers)
    every = tuple(range(len(shape.elements)))
    with torch.no_grad():
        layers = compiled_layers(Network(shape, 0).double(), Settings(every, dtype, 1e-3, 1e-3))
    on_pairs = pairs * channels * sum(pair_operations(layer) for layer in layers)
    on_atoms = [atom_operations(layer, channels) for layer in layers]
    linear = len(structure) * sum(found[0] for found in on_atoms)
    product = len(structure) * channels * sum(found[1] for found in on_atoms)
    size = np.dtype(dtype).itemsize
    moved = len(structure) * channels * size * sum(numbers_moved(layer) for layer in layers)
    total = on_pairs + linear + product
    return {
        "pairs": pairs,
        "GFLOP pairs": on_pairs / 1e9,
        "GFLOP linear": linear / 1e9,
        "GFLOP product": product / 1e9,
        "MB between steps": moved / 1e6,
        "ms arithmetic": 1e3 * total / 1e9 / PEAK_GFLOP_PER_S[dtype],
        "ms memory": 1e3 * moved / 1e9 / COPY_GB_PER_S,
    }


def main(water: str, salt: str) -> None:
    """Count for every case on record, write record and table."""
    record = json.loads(SPEED.read_text())
    structures = {"water": water, "NaCl": salt}
    counts, rows = {}, []
    for name, timed in record["cases"].items():
        if timed["device"] != "cpu":
            continue
        structure = Structure.from_ase(ase.io.read(structures[name.split()[0]], "0"))
        channels = int(re.search(r"(\d+) channels", name)[1])
        max_ell = int(re.search(r"max_ell (\d)", name)[1])
        counts[name] = count(structure, channels, max_ell, name.split()[-1])
        rows.append(_row(name, counts[name], timed["programs"]["compiled engine"]))
    COUNTS.write_text(json.dumps({"what": __doc__, "cases": counts}, indent=1) + "\n")
    heads = ("case", "pairs", "GFLOP: pairs + linear maps + product", "MB between steps", "arithmetic (ms)")
    heads += ("memory (ms)", "call, median (least), ms", "call / arithmetic")
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]
    _put(PAGE, "table", table)
    _put(PAGE, "GPU", on_gpu(record["cases"]))
    _put(TIMES, "table", times(record["cases"]))


def on_gpu(cases: dict[str, Any]) -> list[str]:
    """Each program of the cases that ran on a GPU."""
    table = [
        "| case | program | ms, median (least) | its time to ours | memory (GB) |",
        "|---|---|---|---|---|",
    ]
    for name, case in cases.items():
        if case["device"] == "cpu":
            continue
        for program, found in case["programs"].items():
            ratio = f"{found['ratio']:.1f} ± {found['ratio_stderr']:.1f}" if found["ratio"] else ""
            cells = [name.removesuffix(", cuda"), program, f"{found['median']:.1f} ({found['least']:.1f})"]
            cells += [ratio if found["ratio"] != 1.0 else "", f"{found['gpu_MB'] / 1e3:.2f}"]
            table.append(f"| {' | '.join(cells)} |")
    return table


def times(cases: dict[str, Any]) -> list[str]:
    """The engine beside mace-torch, of the cases that ran on a CPU."""
    programs = ["compiled engine", "mace-torch", "mace-torch, malloc kept"]
    table = [
        "| case | engine | mace-torch | malloc kept | ratio | to malloc kept |",
        "|---|---|---|---|---|---|",
    ]
    for name, case in cases.items():
        if case["device"] == "cpu":
            found = [case["programs"][program] for program in programs]
            cells = [f"{found[0]['median']:.1f} ms", *(f"{f['median']:.0f} ms" for f in found[1:])]
            cells += [f"{f['ratio']:.1f} ± {f['ratio_stderr']:.1f}" for f in found[1:]]
            table.append(f"| {' | '.join([name, *cells])} |")
    return table


def _put(page: Path, mark: str, table: list[str]) -> None:
    """In place of the table between the marks of a page."""
    begin = f"<!-- {mark} -->"
    before, _, rest = page.read_text().partition(f"{begin}\n")
    after = rest.partition("<!-- end -->")[2]
    page.write_text(before + "\n".join([begin, *table, "<!-- end -->"]) + after)


def _row(name: str, found: dict[str, float], timed: dict[str, float]) -> str:
    """A case in the table."""
    parts = " + ".join(f"{found[f'GFLOP {part}']:.3f}" for part in ("pairs", "linear", "product"))
    limit, median, least = found["ms arithmetic"], timed["median"], timed["least"]
    cells = [name, f"{found['pairs']}", parts, f"{found['MB between steps']:.0f}", f"{limit:.1f}"]
    cells += [f"{found['ms memory']:.1f}", f"{median:.1f} ({least:.1f})"]
    return f"| {' | '.join([*cells, f'{median / limit:.1f} ({least / limit:.1f})'])} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
