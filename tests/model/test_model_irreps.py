import itertools
import math
import warnings

import pytest
import torch
from e3nn import o3

from mlipbench.model.irreps import components, parse, spherical_harmonics, wigner_3j
from mlipbench.model.product import basis, monomials


def directions(n):
    vectors = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("l_max", range(4))
def test_spherical_harmonics(l_max):
    # Oracle: e3nn. Another order or sign of components would be off by 1.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.script inside e3nn
        expected = o3.spherical_harmonics(list(range(l_max + 1)), directions(20), False, "component")
    torch.testing.assert_close(spherical_harmonics(directions(20), l_max), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("l1", "l2", "l3"),
    [(a, b, c) for a, b, c in itertools.product(range(4), repeat=3) if abs(a - b) <= c <= a + b],
)
def test_wigner_3j(l1, l2, l3):
    symbol = wigner_3j(l1, l2, l3)
    assert float((symbol**2).sum()) == pytest.approx(1, abs=1e-14)
    y = spherical_harmonics(directions(1), 3)[0]
    parts = [y[order * order : (order + 1) ** 2] for order in (l1, l2, l3)]
    triple = float(torch.einsum("abc,a,b,c->", symbol, *parts))
    if (l1 + l2 + l3) % 2:
        assert triple == pytest.approx(0, abs=1e-14)
        assert symbol.flatten()[symbol.flatten().abs() > 1e-9][0] > 0
    else:
        # |<l1 0 l2 0|l3 0>| in another form: Y along the axis is sqrt(2l+1).
        expected = math.sqrt(math.prod(2 * order + 1 for order in (l1, l2, l3)))
        assert triple == pytest.approx(expected * float(symbol[l1, l2, l3]), rel=1e-12)
        assert triple > 0


@pytest.mark.parametrize(("order", "counts"), [(0, (1, 4, 23)), (1, (1, 6, 51)), (2, (1, 7, 65))])
def test_number_of_couplings(order, counts):
    # Counted in arXiv:2206.07697's basis up to l = 3 as mace-torch builds it.
    assert tuple(len(basis(3, power, order)) for power in (1, 2, 3)) == counts


def test_monomials_are_the_symmetric_couplings():
    # Oracle: the full tensor, contracted with one vector three times.
    x = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64).numpy()
    indices, coefficients = monomials(3, 3, 1)
    full = basis(3, 3, 1) @ x @ x @ x
    assert coefficients @ x[indices].prod(axis=1) == pytest.approx(full, abs=1e-12 * abs(full).max())


def test_parse():
    assert parse("8x0e + 8x1o") == (8, (0, 1))
    assert parse("0e+2e") == (1, (0, 2))
    assert components((0, 2)) == [slice(0, 1), slice(1, 6)]


@pytest.mark.parametrize(
    ("irreps", "message"),
    [
        ("8 scalars", "no irreps"),
        ("8x1o", "begin with scalars"),
        ("8x0e+8x1e", "1e cannot be made"),
        ("8x0e+4x1o", r"same number of channels, got \[4, 8\]"),
        ("8x0e+8x0e", "once"),
        ("", "begin with scalars"),
    ],
)
def test_irreps_that_cannot_be_had(irreps, message):
    with pytest.raises(ValueError, match=message):
        parse(irreps)
