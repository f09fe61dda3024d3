"""The compiled engine against the network in torch, finite differences, and itself."""

import math
import os
import subprocess
import sys
from fractions import Fraction

import numba
import numpy as np
import pytest
import torch
from networks import KINDS, answer, architecture, crystal, energy, ethanol, graph, network
from test_model_mace_reference import CASES, converted
from test_model_mace_reference import structure as reference_structure

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.engine import jit, layers, splines
from mlipbench.engine.angular import harmonics_lists
from mlipbench.engine.engine import Engine
from mlipbench.model.graph import graph_of

ATOM = Structure(np.array([8]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), np.ones(1))
SHAPES = [
    *({"max_ell": ell} for ell in (1, 3)),
    {"max_ell": 0, "hidden_irreps": "6x0e"},
    *({"hidden_irreps": "3x0e+3x1o+3x2e", "max_ell": ell, "correlation": 2} for ell in (2, 3)),
    {"hidden_irreps": "3x0e+3x2e", "max_ell": 3, "correlation": 2},
    {"hidden_irreps": "17x0e+17x1o"},
    *({"correlation": nu} for nu in (1, (3, 1))),
    {"num_layers": 1},
    {"num_layers": 3, "hidden_irreps": "3x0e+3x1o+3x2e"},
    *({"num_layers": 3, "interaction_first": kind, "interaction": kind} for kind in KINDS),
    {"zbl": True},
    {"distance_transform": "agnesi", "zbl": True},
    {"distance_transform": "agnesi", "interaction_first": "agnostic", "interaction": "density"},
    {"distance_transform": "soft", "cutoff_acts_on": "weights", "interaction_first": "density"},
]


def compiled(engine, *structures, gradients=True):
    """Answer of the engine for structures; those of its first member are compared."""
    seen = graph(structures, engine.shape)
    return engine.evaluate(
        species=seen.species.numpy(),
        first=np.searchsorted(seen.receivers.numpy(), np.arange(seen.n_atoms + 1)),
        neighbours=seen.senders.numpy(),
        vectors=np.ascontiguousarray(-seen.vectors.numpy()),
        structure=seen.structure.numpy(),
        n_structures=len(structures),
        gradients=gradients,
    )


def engine_of(net, **settings):
    engine = Engine([net], **settings)
    engine.shape = net.architecture
    return engine


def differences(net, structures, **settings):
    """Largest differences from torch in energies (eV), forces (eV/A), and virials (eV)."""
    found = compiled(engine_of(net, **settings), *structures)
    energies, forces, _ = answer(net, *structures, stress=False)
    virials = [answer(net, s)[2][0] * s.volume for s in structures if s.volume]
    periodic = [n for n, s in enumerate(structures) if s.volume]
    return (
        np.abs(found.energies[0] - energies).max(),
        np.abs(found.forces[0] - forces).max(),
        np.abs(found.virials[0][periodic] - virials).max(),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_answers_of_torch(shape):
    # Oracle: torch. A wrong sign, factor or index is per cents of the forces, here about 0.1 eV/A. The
    # engine's second structure has no pair, and all are computed in one call.
    net = network(**shape)
    net.scale.fill_(1.7)
    net.shift.fill_(-0.3)
    found = differences(net, [ethanol(), ATOM, crystal(), ethanol(3)])
    assert found[1] < 1e-6
    assert found[0] < 1e-6
    assert found[2] < 1e-8 * crystal().volume * 5


@pytest.mark.parametrize("shape", [{}, {"max_ell": 3}, {"zbl": True, "interaction": "density"}], ids=str)
def test_a_tighter_tolerance_is_met(shape):
    # 1e-10: what is left is rounding of the splines' coefficients, so that nothing but splines differs.
    net = network(**shape)
    loose, tight = (differences(net, [crystal()], tolerance=t)[1] for t in (1e-4, 1e-9))
    assert tight < 1e-10
    assert tight < 0.01 * loose


@pytest.mark.parametrize("case", ["ell3", "order2", "agnostic_residual", "agnesi_zbl", "cutoff_on_weights"])
def test_converted_models_of_mace_torch(case):
    assert case in CASES
    net = converted(case).committee.networks[0]
    structures = [reference_structure(name) for name in ("molecule", "crystal", "dimer", "atom")]
    largest = np.abs(answer(net, *structures, stress=False)[1]).max()
    assert differences(net, structures)[1] < 1e-6 * max(1.0, largest / 10)


@pytest.mark.parametrize("shape", [{}, {"max_ell": 3, "interaction": "density", "zbl": True}], ids=str)
def test_forces_and_virials_are_slopes_of_the_splined_energy(shape):
    # Oracle: finite differences of the engine's own energy, with coarse tables: 1e-9 eV/A. A slope of a
    # spline that is not its own, or a pair at a knot, shows as 1e-6.
    net = network(**shape)
    net.scale.fill_(20.0)  # forces of some eV/A
    engine, structure = engine_of(net, tolerance=1e-3), crystal()
    found = compiled(engine, structure)
    direction = np.random.default_rng(0).normal(size=(len(structure), 3))
    direction /= np.linalg.norm(direction)
    strain = np.array([[0.3, 0.1, 0.0], [0.1, -0.2, 0.4], [0.0, 0.4, 0.1]])

    def moved(s):
        return structure.with_positions(structure.positions + s * direction)

    def strained(s):
        map_ = np.eye(3) + s * strain
        return structure.with_positions(structure.positions @ map_, structure.cell @ map_)

    def slope(change, h=2e-3):
        e = [compiled(engine, change(k * h), gradients=False).energies.sum() for k in (-3, -2, -1, 1, 2, 3)]
        return (-e[0] + 9 * e[1] - 45 * e[2] + 45 * e[3] - 9 * e[4] + e[5]) / (60 * h)

    assert -slope(moved) == pytest.approx((found.forces[0] * direction).sum(), abs=1e-9)
    assert slope(strained, 3e-4) == pytest.approx((found.virials[0][0] * strain).sum(), abs=1e-8)


def test_splines_have_continuous_derivatives_and_end_as_the_function_does():
    # Oracle: the function. Of a degree-5 spline the fifth derivative alone may jump at a knot.
    net = network()

    def function(r):
        basis, cutoff = net.basis(r, torch.tensor([0]), torch.tensor([0]))
        return basis * cutoff

    table = splines.tabulate(function, 4.0, 1e-4, True, "test")
    n, h = len(table.coefficients) - splines.TERMS + 1, 1 / table.per_A

    def pieces(interval, t):
        """Polynomial of one interval at t, its value and slope."""
        weights = np.zeros(12)
        splines.polynomials(t, table.per_A, weights, 0)
        c = table.coefficients[interval : interval + 6]
        return weights[:6] @ c, weights[6:] @ c

    for knot in range(1, n):
        for left, right in zip(pieces(knot - 1, 1.0), pieces(knot, 0.0), strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-12)
        curvatures = [
            (pieces(k, t + 1e-3)[1] - pieces(k, t - 1e-3)[1]) / (2e-3 * h)
            for k, t in ((knot - 1, 1.0), (knot, 0.0))
        ]
        np.testing.assert_allclose(*curvatures, rtol=0, atol=1e-5)
    end = pieces(n - 1, 1.0)
    np.testing.assert_allclose(end, 0.0, atol=1e-12)
    assert np.abs(pieces(n - 1, 1.0 - 1e-3)[1]).max() < 2e-6  # slopes vanish as the square of the distance


def test_the_error_that_a_table_states_is_its_error():
    # Oracle: autograd at random distances.
    net = network()

    def function(r):
        basis, cutoff = net.basis(r, torch.tensor([0]), torch.tensor([0]))
        return layers._perceptron(net.interactions[0].radial, basis * cutoff)

    table = splines.tabulate(function, 4.0, 1e-4, True, "test")
    r = torch.from_numpy(np.random.default_rng(0).uniform(splines.WATCHED, 4.0, 400))[:, None]
    slopes = splines._derivatives(function, r[:, 0].numpy(), 1)[1]
    weights, found = np.zeros(12), []
    for x in (r[:, 0].numpy() - splines.NEAREST) * table.per_A:
        splines.polynomials(x - int(x), table.per_A, weights, 0)
        found.append(weights[6:] @ table.coefficients[int(x) : int(x) + 6])
    worst = np.abs(np.array(found) - slopes).max()
    assert 0.3 * table.error < worst < 1.1 * table.error
    assert table.error < 1e-4 * table.slope


def test_a_tolerance_that_cannot_be_met_is_refused(monkeypatch):
    monkeypatch.setattr(splines, "MOST_INTERVALS", 64)
    with pytest.raises(PotentialError, match=r"radial weights of layer 1: 64 intervals .* larger tolerance"):
        compiled(engine_of(network(), tolerance=1e-9), ethanol())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_answers_depend_neither_on_threads_nor_on_company(dtype):
    # Bitwise: a resumed run may find another number of threads.
    net = network(interaction="density", max_ell=3, zbl=True)
    engine = engine_of(net, dtype=dtype)
    structures = [crystal(seed) for seed in range(3)]
    before, answers = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            answers.append(compiled(engine, *structures))
    finally:
        numba.set_num_threads(before)
    alone = [compiled(engine, s) for s in structures]
    for name in ("energies", "forces", "virials"):
        one, two = (getattr(a, name)[0] for a in answers)
        assert np.array_equal(one, two)
        assert np.array_equal(one, np.concatenate([getattr(a, name)[0] for a in alone]))


def test_single_precision_costs_six_digits():
    # 2e-5 of the largest force. A product that is summed in a wrong precision shows.
    net = network(max_ell=3, hidden_irreps="16x0e+16x1o")
    largest = np.abs(answer(net, crystal(), stress=False)[1]).max()
    assert differences(net, [crystal()], dtype="float32")[1] < 2e-5 * largest


def test_members_are_answered_one_by_one():
    nets = [network(seed) for seed in range(3)]
    engine = Engine(nets)
    engine.shape = nets[0].architecture
    found = compiled(engine, crystal())
    for n, net in enumerate(nets):
        np.testing.assert_allclose(found.forces[n], answer(net, crystal())[1], rtol=0, atol=1e-6)


def test_elements_that_come_later_do_not_change_the_answers():
    net = network(elements=(1, 6, 8), interaction_first="agnostic", distance_transform="agnesi")
    engine, carbon = engine_of(net), crystal()
    carbon = Structure(np.full(8, 6), carbon.positions, carbon.cell, carbon.pbc, carbon.masses)
    before = compiled(engine, carbon)
    compiled(engine, ethanol())
    after = compiled(engine, carbon)
    assert np.array_equal(before.forces, after.forces)
    assert np.array_equal(before.energies, after.energies)


def test_energies_alone_are_the_same():
    engine = engine_of(network())
    full, alone = compiled(engine, crystal()), compiled(engine, crystal(), gradients=False)
    assert np.array_equal(full.energies, alone.energies)
    assert alone.forces is None


def test_smooth_at_the_cutoff():
    # The energy goes as the fourth power of the distance to the cutoff, as that of torch does.
    net = network()
    engine = engine_of(net)

    def dimer(distance):
        x = np.array([[0.0, 0.0, 0.0], np.array([1.0, 2.0, 2.0]) / 3.0 * distance])
        return Structure(np.array([6, 8]), x, np.zeros((3, 3)), np.zeros(3, bool), np.ones(2))

    free = compiled(engine, dimer(4.5), gradients=False).energies.sum()
    assert free == pytest.approx(energy(net, dimer(4.5)), abs=1e-12)
    for h in (0.4, 0.2):
        tail = compiled(engine, dimer(4.0 - h), gradients=False).energies.sum() - free
        assert tail == pytest.approx(energy(net, dimer(4.0 - h)) - free, abs=1e-9)


def test_memory_goes_with_atoms_not_with_pairs():
    # The workspace of a structure and of one compressed to 1.9 times as many pairs.
    engine, structure = engine_of(network()), crystal()
    squeezed = structure.with_positions(structure.positions * 0.8, structure.cell * 0.8)
    pairs = [len(graph_of([s], (1, 6, 8), 4.0).senders) for s in (structure, squeezed)]
    assert pairs[1] > 1.8 * pairs[0]
    sizes = []
    for s in (structure, squeezed):
        compiled(engine, s)
        sizes.append(sum(a.nbytes for a in engine._workspace._arrays.values()))
    assert sizes[0] == sizes[1]


def test_machine_code_is_kept_for_the_user_not_in_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("MLIPBENCH_CACHE", str(tmp_path))
    jit.cache_folder.cache_clear()
    try:
        folder = jit.cache_folder()
        assert folder is not None
        assert folder.parent == tmp_path / "mlipbench"
        assert jit.source_digest()[:16] in folder.name
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("MLIPBENCH_CACHE", str(tmp_path / "file"))
        jit.cache_folder.cache_clear()
        assert jit.cache_folder() is None
    finally:
        jit.cache_folder.cache_clear()


USE_AND_FORK = """
import os, sys
import numba
from ase.build import bulk
from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.potentials.loading import load
from pathlib import Path

potential = load("mace-si", {}, Path())
structure = Structure.from_ase(bulk("Si", "diamond", a=5.4))
before = potential.evaluate([structure])[0].energy
child = os.fork()
if child == 0:
    try:
        os._exit(10 + int(potential.evaluate([structure])[0].energy == before))
    except PotentialError as error:
        print(error, flush=True)
        os._exit(3)
_, status = os.waitpid(child, 0)
print(numba.threading_layer(), os.environ.get("OMP_WAIT_POLICY"))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("layer", ["", "workqueue"])
def test_a_forked_process_is_told_that_its_threads_are_gone(layer):
    # numba would end it with SIGTERM, which a pool of processes waits for without end.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_THREADING", "OMP_WAIT"))}
    done = subprocess.run(
        [sys.executable, "-c", USE_AND_FORK],
        env=environment | ({"NUMBA_THREADING_LAYER": layer} if layer else {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    used, policy = done.stdout.split()[-2:]
    assert policy == "None"  # what comes after is told nothing
    if used == "omp":
        assert done.returncode == 3, done.stderr
        assert "NUMBA_THREADING_LAYER=workqueue" in done.stdout
    else:
        assert done.returncode == 11, done.stderr


def test_importing_the_engine_writes_and_compiles_nothing(tmp_path):
    code = "import mlipbench.potentials.embedded, numba; print(numba.config.THREADING_LAYER)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "default"
    assert not (tmp_path / ".cache").exists()


def test_the_grid_holds_all_that_an_architecture_can_be():
    shapes = [architecture(**shape) for shape in SHAPES]
    assert {a.max_ell for a in shapes} == {0, 1, 2, 3}
    assert {a.interaction for a in shapes} == set(KINDS)
    assert {a.interaction_first for a in shapes} == set(KINDS)
    assert {a.distance_transform for a in shapes} == {"none", "agnesi", "soft"}
    assert {a.num_layers for a in shapes} == {1, 2, 3}
    assert {a.hidden_orders for a in shapes} == {(0,), (0, 1), (0, 2), (0, 1, 2)}
    assert {a.cutoff_acts_on for a in shapes} == {"basis", "weights"}


def test_constants_are_the_same_in_every_process():
    """Harmonics come from a least-squares fit, whose last bits depend on where arrays lie in memory: the
    lists hold exact roots of fractions instead, or resuming would not be bitwise."""
    for max_ell in range(4):
        lists = harmonics_lists(max_ell)
        for values in (lists.raising_values, lists.gradient_values):
            squares = [Fraction(float(v * v)).limit_denominator(1000) for v in values]
            exact = [math.copysign(math.sqrt(s), v) for s, v in zip(squares, values, strict=True)]
            assert values.tolist() == exact
