import numpy as np
import pytest
import torch
from ase.build import bulk
from networks import KINDS, answer, crystal, energy, ethanol, graph, moved, network, relative

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.model.derivatives import predict
from mlipbench.model.network import Committee

SHAPES = [
    {"hidden_irreps": "3x0e+3x1o+3x2e", "max_ell": 3},
    *({"interaction_first": kind, "interaction": kind} for kind in KINDS),
    {"zbl": True, "distance_transform": "agnesi"},
    {"distance_transform": "soft", "cutoff_acts_on": "weights"},
]


def slope(function, step):
    """Derivative at 0 by central differences, extrapolated to O(step^4)."""
    coarse = (function(step) - function(-step)) / (2 * step)
    fine = (function(step / 2) - function(-step / 2)) / step
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("structure", [ethanol(), crystal()], ids=["molecule", "crystal"])
def test_forces_are_slopes_of_the_energy(shape, structure):
    # Oracle: finite differences of the energy, good to 1e-8 here; a forgotten term is per cents.
    net = network(**shape)
    _, forces, _ = answer(net, structure, stress=False)
    direction = np.random.default_rng(0).normal(size=forces.shape)
    found = slope(lambda s: energy(net, structure.with_positions(structure.positions + s * direction)), 1e-3)
    assert -found == pytest.approx((forces * direction).sum(), abs=1e-7 * np.abs(forces).max())
    assert np.abs(forces.sum(axis=0)).max() < 1e-13 * np.abs(forces).max() * len(structure)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stress_is_the_slope_with_strain(shape):
    net, structure = network(**shape), crystal()
    _, _, stress = answer(net, structure)
    expected = np.empty((3, 3))
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5
            strain[b, a] += 0.5

            def strained(step, strain=strain):
                map_ = np.eye(3) + step * strain
                return energy(
                    net, structure.with_positions(structure.positions @ map_, structure.cell @ map_)
                )

            expected[a, b] = slope(strained, 1e-3) / structure.volume
    assert relative(stress[0], expected) < 1e-7


def dimer(distance):
    return Structure(
        np.array([6, 8]),
        np.array([[0.0, 0.0, 0.0], np.array([1.0, 2.0, 2.0]) / 3.0 * distance]),
        np.zeros((3, 3)),
        np.zeros(3, bool),
        np.ones(2),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("acts_on", "power"), [("basis", 4), ("weights", 4)])
def test_smooth_at_the_cutoff(kind, acts_on, power):
    # The cutoff function has a triple zero and the Bessel functions a single one: the energy goes as
    # the fourth power of the distance to the cutoff, its first three derivatives to zero.
    net = network(interaction_first=kind, interaction=kind, cutoff_acts_on=acts_on)
    free = energy(net, dimer(4.5))
    tails = [energy(net, dimer(4.0 - h)) - free for h in (0.02, 0.01)]
    assert np.log2(tails[0] / tails[1]) == pytest.approx(power, abs=0.3)


def test_smooth_where_the_repulsion_ends():
    # R_C + R_O = 1.42 A: a triple zero.
    net, plain = network(zbl=True), network()
    tails = [energy(net, dimer(1.42 - h)) - energy(plain, dimer(1.42 - h)) for h in (0.02, 0.01, -0.01)]
    assert np.log2(tails[0] / tails[1]) == pytest.approx(3, abs=0.2)
    assert tails[2] == 0.0


def test_repulsion_at_short_distance():
    # Oracle: bare nuclei, 14.4 * 48 / r, screened to between 60 and 100 % at 0.02 A.
    net, plain = network(zbl=True), network()
    repulsion = energy(net, dimer(0.02)) - energy(plain, dimer(0.02))
    assert 0.6 < repulsion / (14.4 * 48 / 0.02) < 1.0


def test_loss_of_forces_and_stress_is_differentiable_in_the_weights():
    # Oracle: finite differences of a loss of energies, forces and stress; training needs this gradient.
    net = network(hidden_irreps="2x0e+2x1o", zbl=True, r_max=3.0, radial_mlp=(4,))
    seen = graph([moved(bulk("C", "diamond", a=3.6), 1, 0.1)], net.architecture)

    def loss():
        found = predict(net, seen, True, True, differentiable=True)
        return found.energies.sum() ** 2 + (found.forces**2).sum() + 100 * (found.stress**2).sum()

    loss().backward()
    for name, parameter in net.named_parameters():
        direction = torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        values = []
        for step in (1e-4, -2e-4, 1e-4):  # there, to the other side, and back
            with torch.no_grad():
                parameter += step * direction
            values.append(float(loss().detach()))
        expected = (values[0] - values[1]) / 2e-4
        assert float((parameter.grad * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-8), name


def test_committee_is_the_mean():
    members = [network(seed) for seed in range(3)]
    parts = [answer(member, crystal()) for member in members]
    for mean, values in zip(answer(Committee(members), crystal()), zip(*parts, strict=True), strict=True):
        assert relative(mean, np.mean(values, axis=0)) < 1e-13


def test_float32_is_close():
    # 1e-4 of the largest force: single precision costs 1e-6, a mixed-up dtype raises.
    net = network(max_ell=3)
    _, double, _ = answer(net, crystal())
    single = predict(net.to(torch.float32), graph([crystal()], net.architecture).to("cpu", torch.float32))
    assert single.forces.dtype == torch.float32
    assert relative(single.forces, double) < 1e-4


def test_no_global_state():
    before = torch.get_default_dtype(), torch.get_rng_state(), torch.get_num_threads()
    answer(network(), crystal())
    after = torch.get_default_dtype(), torch.get_rng_state(), torch.get_num_threads()
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert before[2] == after[2]


def test_equal_seeds_make_equal_networks():
    a, b, other = network(3), network(3), network(4)
    assert energy(a, crystal()) == energy(b, crystal()) != energy(other, crystal())


def test_stress_without_a_volume_is_refused():
    with pytest.raises(PotentialError, match="needs a cell"):
        answer(network(), ethanol(), stress=True)


def test_foreign_elements_and_nan_are_refused():
    net, structure = network(elements=(1, 6)), ethanol()
    with pytest.raises(PotentialError, match=r"\[1, 6\], the structure holds \[8\]"):
        answer(net, structure, stress=False)
    with pytest.raises(PotentialError, match="NaN"):
        answer(network(), structure.with_positions(np.full_like(structure.positions, np.nan)), stress=False)
