"""Time of an evaluation, ours and mace-torch's, in turn in one run: medians of complete calls.

    python tests/bench/against_mace.py MACE_PYTHON STRUCTURE --channels 128 --max-ell 1 --dtype float64

MACE_PYTHON is the interpreter of an environment with mace-torch (see tests/model/make_mace_reference.py).
Weights are random: they do not matter to the time. A call takes moved atoms to energy and forces,
neighbour list included; both programs have `--threads` threads. mace-torch runs twice, as installed and
with a malloc that does not return memory, which makes it faster.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "1073741824",
}
AMPLITUDE = 0.02  # A, by which atoms move between calls


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


def our_call(atoms, options):
    """The same by the compiled engine, through the ASE calculator."""
    os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
    from mlipbench.model.architecture import Architecture
    from mlipbench.model.network import Network
    from mlipbench.model.package import package
    from mlipbench.potentials.calculator import EmbeddedCalculator
    from mlipbench.potentials.embedded import EmbeddedPotential

    channels = options.channels
    shape = Architecture(
        elements=sorted(set(atoms.numbers.tolist())),
        r_max=5.0,
        hidden_irreps=f"{channels}x0e+{channels}x1o",
        max_ell=options.max_ell,
        avg_num_neighbors=54.0,
    )
    made = package("bench", [Network(shape, 0)], dict.fromkeys(shape.elements, 0.0), {})
    atoms.calc = EmbeddedCalculator(EmbeddedPotential(made, options.dtype))
    return moving(atoms)


def moving(atoms):
    rng, start = np.random.default_rng(0), atoms.positions.copy()

    def call():
        atoms.positions[:] = start + AMPLITUDE * rng.normal(size=start.shape)
        begin = time.perf_counter()
        atoms.get_forces()
        return 1e3 * (time.perf_counter() - begin)

    return call


def serve(call):
    """Each line names a number of calls; the answer is their times in ms."""
    for _ in range(3):
        call()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps([call() for _ in range(int(line))]), flush=True)


def main():
    options = arguments()
    import ase.io

    atoms = ase.io.read(options.structure, "0")
    if options.worker:
        serve(mace_call(atoms, options))
        return
    workers = {}
    for name, environment in (("mace-torch", {}), ("mace-torch, malloc kept", KEEP_MEMORY)):
        workers[name] = subprocess.Popen(
            [options.mace_python, str(Path(__file__).resolve()), *sys.argv[1:], "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            | environment
            | {"OMP_NUM_THREADS": str(options.threads)},
        )
    call = our_call(atoms, options)
    for _ in range(3):
        call()
    for worker in workers.values():
        while worker.stdout.readline().strip() != "ready":
            if worker.poll() is not None:
                sys.exit("mace-torch did not start; run the worker by hand to see why")
    times = {name: [] for name in ["compiled engine", *workers]}
    for _ in range(options.rounds):
        times["compiled engine"] += [call() for _ in range(10)]
        for name, worker in workers.items():
            print(3, file=worker.stdin, flush=True)
            times[name] += json.loads(worker.stdout.readline())
    for worker in workers.values():
        worker.stdin.close()
    ours = float(np.median(times["compiled engine"]))
    for name, found in times.items():
        median = float(np.median(found))
        print(f"{name:26s} median {median:8.1f} ms  least {min(found):8.1f} ms  ratio {median / ours:6.1f}")


if __name__ == "__main__":
    main()
