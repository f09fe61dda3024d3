"""Time of an evaluation, ours and mace-torch's, in turn in one run: medians of complete calls.

    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --channels 128 --max-ell 1 --dtype float64

MACE_PYTHON is the interpreter of an environment with mace-torch (see tests/model/make_mace_reference.py).
Weights are random: they do not matter to the time. A call takes moved atoms to energy and forces,
neighbour list included; both programs have `--threads` threads. mace-torch runs twice, as installed and
with a malloc that does not return memory, which makes it faster. The timing is that of `mlipbench speed`; an
environment with mace-torch need not have mlipbench, so its worker answers the same questions by itself.
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
    parser.add_argument("--worker", action="store_true")
    return parser.parse_args()


def mace_call(atoms, options):
    """A function that moves the atoms and computes forces by mace-torch."""
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
    atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype=options.dtype)
    return moving(atoms)


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
    call = mace_call(atoms, options)
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps({"ms": [call() for _ in range(question["count"])]}), file=answers, flush=True)


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
    from mlipbench.analysis import speed as numbers
    from mlipbench.core.structure import Structure
    from mlipbench.run.speed import Source, Worker, in_turn

    threads = {f"{name}_NUM_THREADS": str(options.threads) for name in ("OMP", "MKL", "NUMBA")}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "bench.mlip"
        our_package(atoms, options, path)
        np.savez(Path(folder) / "structure.npz", **vars(Structure.from_ase(atoms)))
        ours = Source("embedded", {"path": str(path), "dtype": options.dtype}, Path(), environment=threads)
        workers = {"compiled engine": stack.enter_context(ours.start())}
        workers["compiled engine"].ask(
            ask="system", arrays=str(Path(folder) / "structure.npz"), cells=[1, 1, 1]
        )
        command = [options.mace_python, str(Path(__file__).resolve()), *sys.argv[1:], "--worker"]
        for name, tuned in (("mace-torch", {}), ("mace-torch, malloc kept", KEEP_MEMORY)):
            environment = {**threads, **tuned, "PYTHONPATH": ""}
            workers[name] = stack.enter_context(Worker(name, command, environment))
        times = in_turn(workers, options.rounds, lambda text: None)
    for name, found in times.items():
        median, ratio = numbers.median(found), numbers.ratio(times["compiled engine"], found)
        print(
            f"{name:26s} median {median.value:8.1f} +- {median.stderr:.1f} ms  least {min(found):8.1f} ms  "
            f"ratio {ratio.value:6.1f} +- {ratio.stderr:.1f}"
        )


if __name__ == "__main__":
    main()
