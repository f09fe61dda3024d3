"""Time of an evaluation, ours and mace-torch's, in turn in one run: medians of complete calls.

    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --channels 128 --max-ell 1 --record water
    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --device cuda --sizes 192,1000,10000

MACE_PYTHON is the interpreter of an environment with mace-torch (see tests/model/make_mace_reference.py).
Weights are random: they do not matter to the time. A call takes moved atoms to energy and forces, neighbour
list included; both programs have `--threads` threads. On a CPU mace-torch runs twice, as installed and with
a malloc that does not return memory, which makes it faster. On a GPU it runs as installed and, with
`--cueq`, with its cuEquivariance backend, beside our compiled graph; memory of the GPU is the most that torch
held of it up to that size, compiling included. The timing is that of `mlipbench speed`; an environment with
mace-torch need not have mlipbench, so its worker answers the same questions by itself. With `--record NAME`
what was timed is kept in docs/records/engine_speed.json under that name of the structure and the settings;
`python docs/make_speed.py` makes the tables of the documentation from it.
"""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
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
RECORD = Path(__file__).parents[2] / "docs" / "records" / "engine_speed.json"
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
    parser.add_argument("--eager", action="store_true", help="our eager network beside it, on a GPU")
    parser.add_argument("--record", default="", help="keep it under this name of the structure")
    parser.add_argument("--worker", choices=["plain", "cueq"])
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error(f"--rounds: expected 3 or more, which have an error, got {options.rounds}")
    return options


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
    engines = {"inductor": "compiled graph"} if on_gpu else {"compiled": "compiled engine"}
    if options.eager:
        engines["torch"] = "eager"
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
            memory = {name: worker.ask(ask="memory")["gpu_MB"] for name, worker in workers.items()}
            found = numbers(times, memory)
            tell(n_atoms, found)
            if options.record:
                keep(n_atoms, found, options)


def numbers(times, memory):
    """Of each program the numbers at one size, in ms; ratios are to the first."""
    from mlipbench.analysis import speed

    first = next(iter(times.values()))
    found = {}
    for name, rounds in times.items():
        median, ratio = speed.median(rounds), speed.ratio(first, rounds)
        found[name] = {
            "median": median.value, "stderr": median.stderr, "least": min(rounds),
            "ratio": ratio.value, "ratio_stderr": ratio.stderr, "gpu_MB": memory[name],
        }  # fmt: skip
    return found


def tell(n_atoms, found):
    """Print them."""
    known = [
        f" (published for an A100: {found})" for size, found in A100.items() if 0.9 < n_atoms / size < 1.1
    ]
    print(f"{n_atoms} atoms{''.join(known)}")
    for name, n in found.items():
        print(
            f"  {name:26s} median {n['median']:8.1f} +- {n['stderr']:.1f} ms  least {n['least']:8.1f} ms  "
            f"ratio {n['ratio']:6.1f} +- {n['ratio_stderr']:.1f}"
            + ("" if n["gpu_MB"] is None else f"  GPU {n['gpu_MB']:.0f} MB")
        )


def keep(n_atoms, found, options):
    """Put them on record, with the machine, in place of what was timed with the same settings before."""
    from mlipbench.store.provenance import provenance

    facts = provenance({})
    ask = "from importlib.metadata import version; print(version('mace-torch'))"
    theirs = subprocess.run(
        [options.mace_python, "-c", ask], capture_output=True, text=True, check=True
    ).stdout.strip()
    record = json.loads(RECORD.read_text())
    name = f"{options.record} {n_atoms} atoms, {options.channels} channels, max_ell {options.max_ell}"
    on = "" if options.device == "cpu" else f", {options.device}"
    record["cases"][f"{name}, {options.dtype}{on}"] = {
        "date": datetime.date.today().isoformat(),
        "processor": facts["processor"],
        "cores": facts["cores"],
        "device": options.device,
        **({} if options.device == "cpu" else {"gpu": gpu()}),
        "threads": options.threads,
        "rounds": options.rounds,
        "load": round(os.getloadavg()[0], 1),
        "versions": {"torch": facts["packages"]["torch"], "mace-torch": theirs},
        "programs": {program: {k: rounded(v) for k, v in n.items()} for program, n in found.items()},
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def gpu():
    """Its name."""
    import torch

    return torch.cuda.get_device_name()


def rounded(value):
    """To four digits."""
    return None if value is None else float(f"{value:.4g}")


if __name__ == "__main__":
    main()
