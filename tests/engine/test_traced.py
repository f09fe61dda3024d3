"""The traced network against the eager one."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from networks import answer, architecture, crystal, ethanol, moved, network

from mlipbench.core.errors import PotentialError
from mlipbench.core.neighbours import candidates
from mlipbench.core.structure import Structure
from mlipbench.engine import traced
from mlipbench.engine.traced import TracedEngine
from mlipbench.model.graph import ListedPairs, arrays_of
from mlipbench.model.network import Network
from mlipbench.model.package import package
from mlipbench.potentials.embedded import EmbeddedPotential

ATOM = Structure(np.array([8]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), np.ones(1))
SHAPES = [
    {"max_ell": 1, "hidden_irreps": "3x0e+3x1o", "num_layers": 2},
    {"max_ell": 3, "correlation": 2, "zbl": True},
    {"interaction_first": "density", "interaction": "density_residual", "cutoff_acts_on": "weights"},
    {"num_layers": 1, "distance_transform": "agnesi", "interaction_first": "agnostic", "zbl": True},
]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def frozen(seed=1, **shape):
    return network(seed, **shape).requires_grad_(False)


def pairs_of(*structures, elements=(1, 6, 8)):
    """Pairs and positions."""
    positions = np.concatenate([s.positions for s in structures])
    return ListedPairs.of(arrays_of(structures, elements, 4.0), positions), positions


def with_skin(structure, skin):
    """Pairs of a list that goes beyond the cutoff."""
    listed = candidates(structure.positions, structure.cell, structure.pbc, 4.0 + skin)
    whole, _ = pairs_of(structure)
    return whole._replace(receivers=listed.i, senders=listed.j, offsets=listed.offsets.T.copy())


def assert_equal(found, net, structures, digits=1e-10, member=0):
    """Oracle: the eager network. `digits` are relative to the largest value."""
    energies, forces, _ = answer(net, *structures, stress=False)
    virials = [answer(net, s)[2][0] * s.volume for s in structures if s.volume]
    periodic = [n for n, s in enumerate(structures) if s.volume]
    for ours, theirs in (
        (found.energies[member], energies),
        (found.forces[member], forces),
        (found.virials[member][periodic], virials),
    ):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=digits * max(np.abs(theirs).max(), 1e-3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_answers_of_the_eager_network(shape):
    # 1e-10 of the largest value. A pair or an atom that fills up and counts, or an index off by one, is per
    # cents. The second structure has no pair.
    net = frozen(**shape)
    net.scale.fill_(1.7)
    net.shift.fill_(-0.3)
    structures = [ethanol(), ATOM, crystal(), ethanol(3)]
    assert_equal(TracedEngine([net], False).evaluate(*pairs_of(*structures)), net, structures)


def test_atoms_without_pairs():
    net = frozen(num_layers=1)
    found = TracedEngine([net], False).evaluate(*pairs_of(ATOM, ATOM))
    np.testing.assert_allclose(found.energies[0], answer(net, ATOM, stress=False)[0][0], rtol=1e-14)
    assert not found.forces.any()
    assert not found.virials.any()


def test_a_graph_serves_until_pairs_do_not_fit():
    # Expansion takes pairs out and squeezing brings more in, within the bucket; a cell squeezed to half its
    # volume has twice as many, and then the larger graph serves the others, too.
    net = frozen(num_layers=1)
    engine, base = TracedEngine([net], False), crystal()
    n_pairs = set()
    for seed, size, n_made in ((0, 1.0, 1), (1, 1.02, 1), (2, 0.99, 1), (3, 0.8, 2), (4, 1.0, 2)):
        structure = crystal(seed).with_positions(crystal(seed).positions * size, base.cell * size)
        pairs, positions = pairs_of(structure)
        n_pairs.add(len(pairs.receivers))
        assert_equal(engine.evaluate(pairs, positions), net, [structure])
        assert engine.n_made == n_made
    assert len(n_pairs) == 5


def test_pairs_in_the_skin_add_exactly_nothing():
    net = frozen(num_layers=1, zbl=True)
    engine, structure = TracedEngine([net], False), crystal()
    pairs = with_skin(structure, 1.0)
    assert len(pairs.receivers) > 1.5 * len(pairs_of(structure)[0].receivers)
    here = engine.evaluate(pairs, structure.positions)
    assert_equal(here, net, [structure])
    vectors = pairs.at(structure.positions).vectors
    far = np.linalg.norm(vectors, axis=1) >= 4.0
    offsets = pairs.offsets - 0.3 * vectors * far[:, None]  # where they are does not matter: to the last bit
    moved = engine.evaluate(pairs._replace(offsets=offsets), structure.positions)
    for name in ("energies", "forces", "virials"):
        assert np.array_equal(getattr(moved, name), getattr(here, name))
    (program,) = engine._programs.values()
    filling = program.run(0)[len(structure) :]
    assert len(filling)
    assert not filling[:, 1:].any()  # no force, no virial


def test_members_share_a_graph_and_have_their_own_weights():
    nets = [frozen(seed, num_layers=1) for seed in range(3)]
    engine = TracedEngine(nets, False)
    found = engine.evaluate(*pairs_of(crystal()))
    assert engine.n_made == 1
    for n, net in enumerate(nets):
        assert_equal(found, net, [crystal()], member=n)


def test_single_precision_costs_six_digits():
    net = frozen(num_layers=1)
    single = frozen(num_layers=1).to(torch.float32)
    found = TracedEngine([single], False).evaluate(*pairs_of(crystal(), ethanol()))
    assert_equal(found, net, [crystal(), ethanol()], digits=2e-5)
    assert np.abs(found.forces[0] - answer(net, crystal(), ethanol(), stress=False)[1]).max() > 1e-10


def organic(n_members=2):
    members = [Network(architecture(num_layers=1), seed) for seed in range(n_members)]
    return package("organic", members, {1: -13.6, 6: -1029.3, 8: -2041.8}, {})


def assert_bound_as_torch(potential, structure, n_made, steps, digits=1e-10):
    """Replicas of a structure that moves, against the eager network; n graphs serve them all."""
    made = potential.package
    eager = EmbeddedPotential(made, engine="torch").bind(structure, 2)
    bound, cells = potential.bind(structure, 2), np.stack([structure.cell] * 2)
    positions, rng = np.stack([structure.positions] * 2), np.random.default_rng(0)
    counts = set()
    for _ in range(steps):
        positions = positions + rng.normal(0, 0.03, positions.shape)
        found, expected = (b(positions, cells, True) for b in (bound, eager))
        counts.add(len(eager._neighbours.pairs(positions, cells).i))
        np.testing.assert_allclose(found.energies, expected.energies, rtol=max(digits * 1e-2, 1e-13))
        scale = np.abs(expected.forces).max()
        np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=digits * scale)
        np.testing.assert_allclose(found.stresses, expected.stresses, rtol=0, atol=digits * scale)
    assert len(counts) > 1
    assert potential.backend._engine.n_made == n_made


def test_a_bound_potential_moves_on_one_graph():
    # One graph from the check on loading, one for the two replicas.
    potential = EmbeddedPotential(organic(), engine="traced")
    assert potential.capabilities.batched
    assert_bound_as_torch(potential, crystal(), 2, 15)
    few = potential.backend._engine.n_made
    potential.evaluate([ethanol(), crystal(), ATOM])  # atoms seen once go through the network itself
    assert potential.backend._engine.n_made == few


def test_a_replica_that_is_lost_leaves_the_others():
    potential = EmbeddedPotential(organic(1), engine="traced")
    structure = crystal()
    positions = np.stack([structure.positions] * 2)
    positions[0, 0] = np.nan
    found = potential.bind(structure, 2)(positions, np.stack([structure.cell] * 2), True)
    alone = potential.bind(structure, 1)(positions[1:], structure.cell[None], True)
    assert np.isnan(found.forces[0]).all()
    np.testing.assert_allclose(found.forces[1], alone.forces[0], rtol=0, atol=1e-13)


def test_a_graph_that_differs_from_torch_is_refused(monkeypatch):
    monkeypatch.setattr(traced, "_beyond", lambda network: 2.5)  # what fills up is then near enough to count
    with pytest.raises(
        PotentialError, match=r"traced graph and the network in torch differ.*`engine: torch`"
    ):
        EmbeddedPotential(organic(1), engine="traced")


@pytest.mark.parametrize(("lowered", "way_out"), [(True, "`engine: traced`"), (False, "`engine: torch`")])
def test_what_cannot_be_compiled_says_what_to_do(monkeypatch, lowered, way_out):
    def broken(*arguments, **options):
        raise RuntimeError("no compiler\nhere")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(traced._Program, "_bound", broken)
    with pytest.raises(PotentialError, match=rf"cpu \(no compiler here\).*{way_out}"):
        TracedEngine([frozen(num_layers=1)], lowered).evaluate(*pairs_of(ATOM))


@pytest.mark.parametrize("lowered", [True, False])
def test_kernels_that_do_not_compile_send_to_the_network_itself(monkeypatch, lowered):
    # Both engines have them, so that `engine: traced` would be no way out.
    class Broken(Exception):
        pass

    def broken(*arguments):
        raise Broken("no ptxas here")

    monkeypatch.setattr(traced, "COMPILE_ERRORS", (Broken,))
    monkeypatch.setattr(traced._Program, "_function", broken)
    with pytest.raises(PotentialError, match=r"no ptxas here\); use `engine: torch`"):
        TracedEngine([frozen(num_layers=1)], lowered).evaluate(*pairs_of(ATOM))


@pytest.mark.physics
def test_compiled_by_inductor_on_the_cpu(two_threads):
    # The same equalities for a network as small as they come: its C++ takes minutes to compile. With two
    # threads vectorised C++ writes where it must not, which ends the process.
    net = frozen(elements=(14,), max_ell=1, correlation=2, radial_mlp=(8,), num_layers=1)
    engine = TracedEngine([net], True)
    for seed in range(3):
        structure = moved(bulk("Si", "diamond", a=5.43, cubic=True), seed, 0.1)
        assert_equal(engine.evaluate(*pairs_of(structure, elements=(14,))), net, [structure])
    assert engine.n_made == 1


@CUDA
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", ["traced", "inductor"])
def test_on_a_gpu(engine, dtype):
    # Equal to the eager network on the CPU, on one captured graph for 50 configurations.
    potential = EmbeddedPotential(organic(2), dtype, device="cuda", engine=engine)
    assert_bound_as_torch(potential, crystal(), 2, 50, 1e-10 if dtype == "float64" else 3e-5)


@CUDA
def test_on_a_gpu_the_compiled_graph_is_the_default():
    assert EmbeddedPotential(organic(1), device="cuda").identity.details["engine"] == "inductor"
