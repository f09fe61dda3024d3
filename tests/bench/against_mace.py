"""Time of an evaluation, ours and mace-torch's, in turn in one run: medians of complete calls.

    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --channels 128 --max-ell 1 --dtype float64
    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --device cuda --sizes 192,1000,10000

MACE_PYTHON is the interpreter of an environment with mace-torch (see tests/model/make_mace_reference.py).
Weights are random: they do not matter to the time. A call takes moved atoms to energy and forces, neighbour
list included; both programs have `--threads` threads. On a CPU mace-torch runs twice, as installed and with
a malloc that does not return memory, which makes it faster. On a GPU it runs as installed and, with
`--cueq`, with its cuEquivariance backend, beside our compiled graph and our eager network; memory of the
GPU is the most that torch held of it up to that size, compiling included. The timing is that of `mlipbench
speed`; an environment with mace-torch need not have mlipbench, so its worker answers the same questions by
itself.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "1073741824",
}
A100 = {192: "4 ms, 0.8 GB", 1000: "18 ms, 3.5 GB", 10_000: "200 ms, 30 GB"}  # published, 128 channels
RATTLE, AMPLITUDE = 0.05, 0.02  # A, as in mlipbench.run.speed_worker


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("mace_python")
    parser.add_argument("structure")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--max-ell", type=int, default=1)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--sizes", default="", help="numbers of atoms; as they are in the file, if empty")
    parser.add_argument("--cueq", action="store_true", help="cuEquivariance beside it")
    parser.add_argument("--worker", choices=["plain", "cueq"])
    return parser.parse_args()


def mace(atoms, options):
    """The calculator."""
    import torch

    torch.serialization.add_safe_globals([slice])
    from e3nn import o3
    from mace import modules
    from mace.calculators import MACECalculator

    torch.set_num_threads(options.threads)
    torch.set_default_dtype(getattr(torch, options.dtype))
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    channels = options.channels
    numbers = sorted(set(atoms.numbers.tolist()))
    model = modules.ScaleShiftMACE(
        r_max=5.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=options.max_ell, interaction_cls=block,
        interaction_cls_first=block, num_interactions=2, num_elements=len(numbers),
        hidden_irreps=o3.Irreps(f"{channels}x0e+{channels}x1o"), MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(numbers)), avg_num_neighbors=54.0, atomic_numbers=numbers,
        correlation=3, gate=torch.nn.functional.silu, atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    return MACECalculator(
        models=[model.to(options.device)],
        device=options.device,
        default_dtype=options.dtype,
        enable_cueq=options.worker == "cueq",
    )


def moving(atoms):
    rng = np.random.default_rng(0)
    start = atoms.positions + RATTLE * rng.normal(size=atoms.positions.shape)

    def call():
        atoms.positions[:] = start + AMPLITUDE * rng.normal(size=start.shape)
        begin = time.perf_counter()
        atoms.get_forces()
        return 1e3 * (time.perf_counter() - begin)

    return call


def serve(atoms, options):
    """Answers as `mlipbench.run.speed_worker` does, as far as it is asked here."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mace-torch has things to say
    import torch

    calculator = mace(atoms, options)
    for line in sys.stdin:
        question = json.loads(line)
        if question["ask"] == "system":
            system = atoms.repeat(question["cells"])
            system.calc = calculator
            call = moving(system)
            answer = {"n_atoms": len(system)}
        elif question["ask"] == "memory":
            held = torch.cuda.max_memory_reserved() / 1e6 if options.device == "cuda" else None
            answer = {"gpu_MB": held}
        else:
            answer = {"ms": [call() for _ in range(question["count"])]}
        print(json.dumps(answer), file=answers, flush=True)


def our_package(atoms, options, path):
    """A network of the same shape in a file."""
    from mlipbench.model.architecture import Architecture
    from mlipbench.model.network import Network
    from mlipbench.model.package import package, save

    channels = options.channels
    shape = Architecture(
        elements=sorted(set(atoms.numbers.tolist())),
        r_max=5.0,
        hidden_irreps=f"{channels}x0e+{channels}x1o",
        max_ell=options.max_ell,
        avg_num_neighbors=54.0,
    )
    save(package("bench", [Network(shape, 0)], dict.fromkeys(shape.elements, 0.0), {}), path)


def main():
    options = arguments()
    import ase.io

    atoms = ase.io.read(options.structure, "0")
    if options.worker:
        serve(atoms, options)
        return
    from mlipbench.core.speed import SpeedRequest
    from mlipbench.core.structure import Structure
    from mlipbench.run.speed import Source, Worker, in_turn

    structure = Structure.from_ase(atoms)
    sizes = tuple(int(size) for size in options.sizes.split(",")) if options.sizes else (len(atoms),)
    threads = {f"{name}_NUM_THREADS": str(options.threads) for name in ("OMP", "MKL", "NUMBA")}
    on_gpu = options.device == "cuda"
    engines = (
        {"inductor": "ours, inductor", "torch": "ours, eager"} if on_gpu else {"compiled": "compiled engine"}
    )
    theirs = {"mace-torch": ("plain", {})}
    if not on_gpu:
        theirs["mace-torch, malloc kept"] = ("plain", KEEP_MEMORY)
    if options.cueq:
        theirs["mace-torch, cuEquivariance"] = ("cueq", {})
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "bench.mlip"
        our_package(atoms, options, path)
        np.savez(Path(folder) / "structure.npz", **vars(structure))
        workers = {}
        for engine, name in engines.items():
            kwargs = {"path": str(path), "dtype": options.dtype, "device": options.device, "engine": engine}
            source = Source("embedded", kwargs, Path(), environment=threads)
            workers[name] = stack.enter_context(source.start())
        for name, (kind, tuned) in theirs.items():
            command = [options.mace_python, str(Path(__file__).resolve()), *sys.argv[1:], "--worker", kind]
            workers[name] = stack.enter_context(Worker(name, command, {**threads, **tuned, "PYTHONPATH": ""}))
        for cells in SpeedRequest(structure, sizes).cells():
            asked = {"ask": "system", "arrays": str(Path(folder) / "structure.npz"), "cells": cells}
            (n_atoms,) = {worker.ask(**asked)["n_atoms"] for worker in workers.values()}
            times = in_turn(workers, options.rounds, lambda text: None)
            tell(n_atoms, times, {name: worker.ask(ask="memory") for name, worker in workers.items()})


def tell(n_atoms, times, memory):
    """Medians at one size; ratios are to the first."""
    from mlipbench.analysis import speed as numbers

    known = [
        f" (published for an A100: {found})" for size, found in A100.items() if 0.9 < n_atoms / size < 1.1
    ]
    print(f"{n_atoms} atoms{''.join(known)}")
    first = next(iter(times.values()))
    for name, found in times.items():
        median, ratio = numbers.median(found), numbers.ratio(first, found)
        held = memory[name]["gpu_MB"]
        print(
            f"  {name:26s} median {median.value:8.1f} +- {median.stderr:.1f} ms  least {min(found):8.1f} ms  "
            f"ratio {ratio.value:6.1f} +- {ratio.stderr:.1f}"
            + ("" if held is None else f"  GPU {held:.0f} MB")
        )


if __name__ == "__main__":
    main()
