"""Time of a bound call of the analytic potentials, neighbour list included."""

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.structure import Structure
from mlipbench.potentials.loading import load

SYSTEMS = {
    "sw-si": lambda: bulk("Si", "diamond", a=5.431, cubic=True).repeat(2),
    "lj-ar": lambda: bulk("Ar", "fcc", a=5.26, cubic=True).repeat(3),
    "harmonic-ar": lambda: bulk("Ar", "fcc", a=5.26, cubic=True).repeat(3),
    "morse-cu": lambda: bulk("Cu", "fcc", a=3.615, cubic=True).repeat(3),
    "born-mayer-nacl": lambda: bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2),
}


@pytest.mark.bench
@pytest.mark.parametrize("n_replicas", [1, 3, 8])
@pytest.mark.parametrize("name", SYSTEMS)
def test_bound_call(benchmark, tmp_path, name, n_replicas):
    structure = Structure.from_ase(SYSTEMS[name]())
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (n_replicas, len(structure), 3))
    positions, cells = structure.positions + noise, np.stack([structure.cell] * n_replicas)
    bound = load(name, {}, tmp_path).bind(structure, n_replicas)
    answer = benchmark(bound, positions, cells, False)
    assert np.isfinite(answer.energies).all()
