"""Messages: what an atom receives from its neighbours, and the way back.

    A_i[row, c] = sum_j R_pc(r_ij) sum_{m1} M_p[m3, m1] h_j[m1, c],   M_p[m3, m1] = sum_m2 C Y_m2

with a row for each component m3 of each path p = (l1, l2, l3). Forward, an atom gathers features h_j.
Backward, it gathers its neighbours' dE/dA_j: they are what its own features were sent to, so that
dE/dh_i is a sum over neighbours again, and nothing is scattered. Radial weights are recomputed
from their splines; nothing is stored per pair but the gradient by its vector.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.angular import (
    coupling_list,
    solid_gradient,
    solid_harmonics,
)
from mlipbench.engine.jit import inner, pasted
from mlipbench.engine.lanes import (
    LANES,
    component,
    contract,
    contract_transposed,
    dot,
    load,
    multiplied,
    outer,
    scaled,
    store,
    store_totals,
    zeros,
)
from mlipbench.engine.splines import TERMS, locate

Numbers = Any  # an array of float64 or float32, as the network was compiled


class Geometry(NamedTuple):
    """Pairs in both directions, by rising first atom."""

    species: IntArray  # (n_atoms,) 0, 1, ... among the elements compiled
    first: IntArray  # (n_atoms + 1,) where an atom's pairs begin
    neighbours: IntArray  # (n_pairs,)
    vectors: FloatArray  # (n_pairs, 3) A, to the neighbour


class Paths(NamedTuple):
    """Of one layer."""

    shape: IntArray  # (n_paths,) number in _SHAPES
    component: IntArray  # (n_paths,) first component of l1 in the features
    row: IntArray  # (n_paths,) first row in A
    matrix: IntArray  # (n_paths,) where M begins among the numbers of a pair
    coupling: IntArray  # (n, 2) M[k] += value Y[component]
    coupling_values: FloatArray  # (n,)
    n_components: int
    n_rows: int
    n_matrix: int


def paths_of(paths: list[tuple[int, int, int]], components: dict[int, int], n_components: int) -> Paths:
    """Paths (l1, l2, l3); `components` says where the features of order l1 begin among n_components."""
    shapes, rows, matrices, couplings, values = [], [0], [0], [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for l1, l2, l3 in paths:
        n1, n3 = 2 * l1 + 1, 2 * l3 + 1
        shapes.append(_shape(l1, l2, l3))
        rows.append(rows[-1] + n3)
        matrices.append(matrices[-1] + (n1 * n3 if l2 else 0))
        if l2:
            indices, numbers = coupling_list(l1, l2, l3)
            couplings.append(indices + np.array([matrices[-2], 0]))
            values.append(numbers)
    return Paths(
        shape=np.array(shapes),
        component=np.array([components[path[0]] for path in paths]),
        row=np.array(rows[:-1]),
        matrix=np.array(matrices[:-1]),
        coupling=np.concatenate(couplings),
        coupling_values=np.concatenate(values),
        n_components=n_components,
        n_rows=rows[-1],
        n_matrix=matrices[-1],
    )


@pasted
def _direction(geometry, pair):  # type: ignore[no-untyped-def]
    """Distance and unit vector to the neighbour."""
    x, y, z = geometry.vectors[pair, 0], geometry.vectors[pair, 1], geometry.vectors[pair, 2]
    r = np.sqrt(x * x + y * y + z * z)
    return r, x / r, y / r, z / r


@pasted
def _couple(paths, values, n, matrices):  # type: ignore[no-untyped-def]
    """The matrices of pair n, from its harmonics."""
    begin = n * paths.n_matrix
    for k in range(begin, begin + paths.n_matrix):
        matrices[k] = 0.0
    for k in range(len(paths.coupling)):
        matrices[begin + paths.coupling[k, 0]] += paths.coupling_values[k] * values[paths.coupling[k, 1]]


class _Pairs(NamedTuple):
    """Scratch: the pairs of one atom."""

    spline: IntArray  # (n,) where the coefficients of the first path begin
    next_path: IntArray  # (n,) how far it is to those of the next
    other: IntArray  # (n,) where the neighbour's features, or the gradients of its A, begin
    weights: Numbers  # (12 n,) of the knots' numbers, for R and for its slope
    matrices: Numbers  # (n_matrix n,) M
    sums: FloatArray  # (n (n_matrix + n_paths),) dE/dM, dE/dR R'


# Paths by their numbers of components, 2 l1 + 1 and 2 l3 + 1; those with a constant Y (l2 = 0) first.
_SHAPES = [(1, 1), (3, 3), (5, 5), (1, 3), (1, 5), (1, 7), (3, 1), (3, 3), (3, 5), (3, 7)]
_SHAPES += [(5, 1), (5, 3), (5, 5), (5, 7)]
_CONSTANT = 3


def _shape(l1: int, l2: int, l3: int) -> int:
    begin = _CONSTANT if l2 else 0
    return _SHAPES.index((2 * l1 + 1, 2 * l3 + 1), begin)


def _receiving(number: int) -> Any:
    """Sums a path of shape `number` over the neighbours of an atom."""
    n1, n3 = _SHAPES[number]
    constant = number < _CONSTANT

    @inner
    def receive(pairs, path, atom, paths, splines, features, received):  # type: ignore[no-untyped-def]
        channels = splines.channels
        for c in range(0, channels, LANES):
            total = zeros(features, n3)
            for n in range(len(pairs.other)):
                begin = pairs.spline[n] + path * pairs.next_path[n]
                coefficients = load(splines.values, begin + c, channels, TERMS)
                radial = contract(pairs.weights, 12 * n, coefficients, zeros(features, 1))
                sent = load(features, pairs.other[n] + paths.component[path] * channels + c, channels, n1)
                if constant:
                    total = scaled(sent, radial, total)
                else:
                    matrix = n * paths.n_matrix + paths.matrix[path]
                    total = contract(pairs.matrices, matrix, multiplied(sent, radial), total)
            store(received, (atom * paths.n_rows + paths.row[path]) * channels + c, channels, total)

    return receive


def _returning(number: int) -> Any:
    """Adds what flows back along a path of shape `number` from an atom's neighbours to its features, and
    sums over channels what its pairs need for the gradients by their vectors."""
    n1, n3 = _SHAPES[number]
    n13 = 1 if number < _CONSTANT else n1 * n3
    constant = number < _CONSTANT

    @inner
    def send_back(pairs, path, own, target, paths, splines, features, gradients, back):  # type: ignore[no-untyped-def]
        channels = splines.channels
        first = paths.component[path] * channels
        for n in range(len(pairs.other)):
            matrix = n * paths.n_matrix + paths.matrix[path]
            begin = pairs.spline[n] + path * pairs.next_path[n]
            along, by_matrix = zeros(features, 1), zeros(features, n13)
            for c in range(0, channels, LANES):
                coefficients = load(splines.values, begin + c, channels, TERMS)
                both = contract(pairs.weights, 12 * n, coefficients, zeros(features, 2))
                radial, slope = component(both, 0), component(both, 1)
                gradient = load(gradients, pairs.other[n] + paths.row[path] * channels + c, channels, n3)
                sent = load(features, own + first + c, channels, n1)
                if constant:
                    turned = load(gradients, pairs.other[n] + paths.row[path] * channels + c, channels, n1)
                else:
                    turned = contract_transposed(pairs.matrices, matrix, gradient, zeros(features, n1))
                    by_matrix = outer(multiplied(gradient, radial), sent, by_matrix)
                along = dot(multiplied(turned, slope), sent, along)
                at = target + first + c
                store(back, at, channels, scaled(turned, radial, load(back, at, channels, n1)))
            sums = n * (paths.n_matrix + len(paths.shape))
            store_totals(pairs.sums, sums + paths.n_matrix + path, along)
            if not constant:
                store_totals(pairs.sums, sums + paths.matrix[path], by_matrix)

    return send_back


def _by_shape(make: Any) -> Any:
    """A function that calls the one made for the shape it is given."""
    f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13 = (
        make(number) for number in range(len(_SHAPES))
    )

    @inner
    def choose(shape, *arguments):  # type: ignore[no-untyped-def]
        if shape == 0:
            f0(*arguments)
        elif shape == 1:
            f1(*arguments)
        elif shape == 2:
            f2(*arguments)
        elif shape == 3:
            f3(*arguments)
        elif shape == 4:
            f4(*arguments)
        elif shape == 5:
            f5(*arguments)
        elif shape == 6:
            f6(*arguments)
        elif shape == 7:
            f7(*arguments)
        elif shape == 8:
            f8(*arguments)
        elif shape == 9:
            f9(*arguments)
        elif shape == 10:
            f10(*arguments)
        elif shape == 11:
            f11(*arguments)
        elif shape == 12:
            f12(*arguments)
        elif shape == 13:
            f13(*arguments)

    return choose


_receive_along = _by_shape(_receiving)
_send_back_along = _by_shape(_returning)


@inner
def _pairs(n, paths, splines):  # type: ignore[no-untyped-def]
    like = splines.values
    return _Pairs(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(12 * n, like.dtype),
        np.empty(n * paths.n_matrix, like.dtype),
        np.empty(n * (paths.n_matrix + len(paths.shape))),
    )


@inner
def receive(atom, geometry, harmonics, paths, splines, features, stride, received):  # type: ignore[no-untyped-def]
    """An atom's A (n_atoms, rows, channels) of features (n_atoms, components, channels), all flat; `stride`
    is the length of an atom's features, 0 where all atoms have the same."""
    begin, end = geometry.first[atom], geometry.first[atom + 1]
    pairs = _pairs(end - begin, paths, splines)
    values = np.empty((harmonics.max_ell + 1) ** 2)
    for n in range(end - begin):
        other = geometry.neighbours[begin + n]
        r, x, y, z = _direction(geometry, begin + n)
        solid_harmonics(-x, -y, -z, harmonics, values)
        _couple(paths, values, n, pairs.matrices)
        species = geometry.species
        pairs.spline[n], pairs.next_path[n] = locate(
            splines, species[atom], species[other], r, pairs.weights, 12 * n
        )
        pairs.other[n] = other * stride
    for path in range(len(paths.shape)):
        _receive_along(paths.shape[path], pairs, path, atom, paths, splines, features, received)


@inner
def send_back(atom, geometry, harmonics, paths, splines, features, stride, gradients, back, slopes):  # type: ignore[no-untyped-def]
    """From gradients dE/dA those of an atom's features, `back` (n_atoms, components, channels), flat; and
    added to `slopes` (n_pairs, 3) that of each pair's vector through what this atom sends to the other."""
    begin, end = geometry.first[atom], geometry.first[atom + 1]
    pairs = _pairs(end - begin, paths, splines)
    values = np.empty((harmonics.max_ell + 1) ** 2)
    for n in range(end - begin):
        other = geometry.neighbours[begin + n]
        r, x, y, z = _direction(geometry, begin + n)
        solid_harmonics(x, y, z, harmonics, values)
        _couple(paths, values, n, pairs.matrices)
        species = geometry.species
        pairs.spline[n], pairs.next_path[n] = locate(
            splines, species[other], species[atom], r, pairs.weights, 12 * n
        )
        pairs.other[n] = other * paths.n_rows * splines.channels
    size = paths.n_components * splines.channels
    back[atom * size : (atom + 1) * size] = 0.0
    for path in range(len(paths.shape)):
        _send_back_along(
            paths.shape[path],
            pairs,
            path,
            atom * stride,
            atom * size,
            paths,
            splines,
            features,
            gradients,
            back,
        )
    _add_slopes(begin, end, geometry, harmonics, paths, pairs, values, slopes)


@inner
def _add_slopes(begin, end, geometry, harmonics, paths, pairs, values, slopes):  # type: ignore[no-untyped-def]
    """Gradients by the vectors, dE/dr = s u + (dE/dY) dY/dr, of the sums over paths and channels."""
    by_harmonic, gradient = np.empty(len(values)), np.empty(3)
    for n in range(end - begin):
        r, x, y, z = _direction(geometry, begin + n)
        solid_harmonics(x, y, z, harmonics, values)
        first = n * (paths.n_matrix + len(paths.shape))
        along = 0.0
        for path in range(len(paths.shape)):
            along += pairs.sums[first + paths.n_matrix + path]
        by_harmonic[:] = 0.0
        for k in range(len(paths.coupling)):
            by_harmonic[paths.coupling[k, 1]] += (
                paths.coupling_values[k] * pairs.sums[first + paths.coupling[k, 0]]
            )
        solid_gradient(by_harmonic, harmonics, values, gradient)
        # Y = S / r^l, and r dS/dr = l S: of the gradient of S what points along r is taken away.
        gradient /= r
        along -= gradient[0] * x + gradient[1] * y + gradient[2] * z
        slopes[begin + n, 0] += along * x + gradient[0]
        slopes[begin + n, 1] += along * y + gradient[1]
        slopes[begin + n, 2] += along * z + gradient[2]
