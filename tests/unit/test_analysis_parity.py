"""Oracles: errors, offsets and pair forces planted by hand; Gaussian and Student tails."""

import numpy as np
import pytest

from mlipbench.analysis import parity, residuals, stats, structured
from mlipbench.analysis.structure import pairs
from mlipbench.core.errors import SuiteError


def labels(offsets=None):
    """12 frames of two elements in varying shares, energies of the potential off by planted offsets."""
    rng = np.random.default_rng(0)
    numbers, frame = [], []
    for k in range(12):
        n = [4 + k % 5, 3 + k % 3]
        numbers += [14] * n[0] + [8] * n[1]
        frame += [k] * sum(n)
    numbers, frame = np.array(numbers), np.array(frame)
    energy = rng.standard_normal(12) * 5
    shift = sum(c * np.bincount(frame, numbers == z) for z, c in (offsets or {}).items())
    forces = rng.standard_normal((len(numbers), 3))
    return parity.Labels(frame, numbers, energy, energy + shift, forces, forces.copy())


def test_offsets_per_element_are_recovered():
    align = parity.align(labels({14: 3.0, 8: -7.0}), "fitted")
    assert align.offsets == pytest.approx({14: 3.0, 8: -7.0})
    assert align.fitted == 2
    np.testing.assert_allclose(align.errors, 0, atol=1e-12)


def test_one_composition_uses_up_one_degree_of_freedom():
    one = labels()
    keep = one.frame == 0
    few = parity.Labels(
        np.repeat([0, 1], keep.sum()),
        np.tile(one.numbers[keep], 2),
        np.array([1.0, 2.0]),
        np.array([4.0, 5.0]),
        *(np.zeros((2 * keep.sum(), 3)),) * 2,
    )
    align = parity.align(few, "fitted")
    assert align.fitted == 1
    np.testing.assert_allclose(align.errors, 0, atol=1e-12)


def test_isolated_atoms_and_as_is():
    given = labels({14: 3.0})
    raw = parity.align(given, "as_is")
    silicon = np.bincount(given.frame, given.numbers == 14) / np.bincount(given.frame)
    np.testing.assert_allclose(raw.errors, 3.0 * silicon, atol=1e-12)
    set_by_atoms = parity.align(given, "isolated_atoms", {14: (-1.0, 2.0), 8: (0.5, 0.5)})
    np.testing.assert_allclose(set_by_atoms.errors, 0, atol=1e-12)
    with pytest.raises(SuiteError, match=r"\[8\]"):
        parity.align(given, "isolated_atoms", {14: (-1.0, 2.0)})


def test_composition_mean_ignores_the_size_of_the_cell():
    residual, company = parity.composition_residual(
        np.array([1.0, 3.0, 10.0]), np.array([[2, 4], [1, 2], [5, 0]])
    )
    assert residual.tolist() == [-1.0, 1.0, 0.0]
    assert company.tolist() == [True, True, False]


def test_summary_of_known_numbers():
    e = np.array([1.0, -1.0, 3.0, np.nan])
    b = np.array([2.0, -4.0, 6.0, 1.0])
    s = parity.summarise(e, b, np.array([0, 0, 1, 1]), 2, np.random.default_rng(0))
    assert s.mae.value == pytest.approx(5 / 3)
    assert s.rmse.value == pytest.approx(np.sqrt(11 / 3))
    assert s.mean.value == pytest.approx(1.0)
    assert s.skill.value == pytest.approx(1 - 5 / 12)
    assert s.r2.value == pytest.approx(1 - 11 / 56)
    assert s.n == 3


def test_error_bar_counts_clusters_and_not_components():
    """One bias per cluster: the error of the mean is that of 20 draws, not of 2000."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(20), 100)
    e = rng.standard_normal(20)[clusters]
    s = parity.summarise(e, np.ones(2000), clusters, 20, np.random.default_rng(0))
    assert s.mean.stderr == pytest.approx(np.std(e) / np.sqrt(19), rel=0.15)
    assert s.mean.n_eff == pytest.approx(20)


def test_force_angles():
    f = np.array([[1.0, 0, 0], [0, 2, 0], [1e-6, 0, 0]])
    p = np.array([[0.0, 1, 0], [0, 3, 0], [-1, 0, 0]])
    assert parity.force_angles(f, p).tolist() == pytest.approx([90.0, 0.0])


def test_tails_of_gaussian_and_heavy_residuals():
    """Excess kurtosis: 0 for a Gaussian, 6 for a Laplace distribution."""
    rng = np.random.default_rng(2)
    light, heavy = residuals.tail(rng.standard_normal(20000)), residuals.tail(rng.laplace(size=20000))
    assert abs(light.excess_kurtosis) < 4 * light.kurtosis_error
    assert light.beyond_five == 0.0
    assert heavy.excess_kurtosis == pytest.approx(3.0, abs=0.6)
    assert heavy.beyond_five > 1e-3


def test_shape_has_few_false_alarms():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(30), 10)
    alarms = sum(
        bool(residuals.shape(rng.standard_normal(300), 0.1 * rng.standard_normal(300), clusters).words)
        for _ in range(200)
    )
    assert alarms <= 4


def test_bunch_without_a_label_is_found():
    e = np.concatenate([0.1 * np.random.default_rng(4).standard_normal(60), 5 + 0.01 * np.arange(5)])
    found = residuals.off_diagonal(e, [])
    assert [(c.n, c.name) for c in found] == [(5, "no common label")]
    assert found[0].centre == pytest.approx(5.02, abs=0.01)


def test_pair_projection_of_a_dimer_is_its_repulsion():
    positions = np.array([[0.0, 0, 0], [0, 0, 2.0]])
    near = pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), 3.0)
    apart = np.array([[0.0, 0, -0.1], [0, 0, 0.1]])
    assert structured.pair_projection(near, apart).tolist() == pytest.approx([0.1])
    assert structured.pair_projection(near, -apart).tolist() == pytest.approx([-0.1])
    basis = structured.pair_basis(near, 2)
    assert basis[:, 2, :].sum(axis=0) == pytest.approx(np.zeros(structured.PAIR_CENTRES))
    assert (basis[1, 2] > 0).all()


def test_scalar_share_of_planted_errors():
    """Half of the variance planted on the density: share 0.5; none: about 0, never far above."""
    rng = np.random.default_rng(5)
    density = np.linspace(-1, 1, 200) * np.sqrt(3)
    features = structured.Features(("density",), density[:, None])
    clusters = np.arange(200) // 2
    noise = rng.standard_normal(200)
    for planted, expected in ((density, 0.5), (np.zeros(200), 0.0)):
        share = structured.scalar_share(planted + noise, features, clusters, 100, np.random.default_rng(0))
        assert share.value == pytest.approx(expected, abs=0.1)
        assert 0 < share.stderr < 0.1


def test_binned_means_have_cluster_errors():
    x, y = np.arange(100.0), np.repeat([1.0, -1.0], 50)
    bins = structured.binned(x, y, np.arange(100), 2)
    assert [b.mean for b in bins] == [1.0, -1.0]
    assert [b.n for b in bins] == [50, 50]
    assert stats.robust_sigma(y) > 0
