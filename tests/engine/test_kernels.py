"""The kernels for GPUs against operations on all pairs, which autograd differentiates.

Without a GPU, Triton's interpreter runs them: TRITON_INTERPRET=1, in an environment that has Triton.
"""

import os

import numpy as np
import pytest
import torch
from networks import ethanol, network
from torch.utils._triton import has_triton_package

from mlipbench.engine import sums
from mlipbench.engine.traced import Bucket, _graph, padded
from mlipbench.model.graph import graph_of
from mlipbench.model.messages import Pattern

ON_GPU = torch.cuda.is_available()
pytestmark = pytest.mark.skipif(
    not (has_triton_package() and (ON_GPU or os.environ.get("TRITON_INTERPRET") == "1")),
    reason="needs Triton, and a GPU or its interpreter",
)
DEVICE = "cuda" if ON_GPU else "cpu"
SHAPES = [
    ({"max_ell": 1, "hidden_irreps": "3x0e+3x1o"}, torch.float32),
    ({"max_ell": 1, "hidden_irreps": "66x0e+66x1o"}, torch.float64),  # channels beyond those of one program
    ({"max_ell": 2, "hidden_irreps": "3x0e+3x1o+3x2e"}, torch.float64),
    ({"max_ell": 3, "hidden_irreps": "4x0e"}, torch.float64),
]


def rows():
    """Two molecules, filled up: receivers, kinds, and what pairs there are."""
    graph = graph_of([ethanol(), ethanol(1)], (1, 6, 8), 1.8)
    bucket = Bucket.of(graph).with_room()
    arrays = padded(graph, bucket)
    made = _graph(bucket, {name: torch.from_numpy(a).to(DEVICE) for name, a in arrays.items()})
    return made, len(graph.receivers), bucket


def by_all_pairs(x, radial, matrices, listed, pattern):
    """A, one operation after the other."""
    found = matrices.new_zeros(len(listed.begins) - 1, pattern.paths[-1].rows.stop, radial.shape[2])
    blocks = []
    for path in pattern.paths:
        m = matrices[:, path.columns].unflatten(1, (path.rows.stop - path.rows.start, -1))
        z = radial[pattern.radial, path.number][:, None]
        blocks.append(m @ (z if x is None else z * x[pattern.senders][:, path.components]))
    return found.index_add(0, listed.row_of, torch.cat(blocks, dim=1))


@pytest.mark.parametrize("with_x", [True, False])
@pytest.mark.parametrize(("shape", "dtype"), SHAPES, ids=str)
def test_sums_and_their_gradients(shape, with_x, dtype):
    # 1e-12 of the largest number in float64. A row, a path or a component in a wrong place is of order 1.
    net = network(1, num_layers=2, **shape).to(DEVICE, dtype)
    interaction, (made, n_pairs, bucket) = net.interactions[1], rows()
    generator = torch.Generator().manual_seed(0)

    def random(*size):
        drawn = torch.randn(*size, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
        return drawn.requires_grad_()

    channels = net.architecture.channels
    if with_x:
        listed, paths, coupling = made.by_receiver, interaction.paths, interaction.coupling
        x = random(bucket.n_atoms, sum(2 * o + 1 for o in net.architecture.hidden_orders), channels)
    else:
        listed, paths, coupling, x = made.by_kind, net.interactions[0].paths[:1], None, None
    n_columns = max(path.columns.stop for path in paths)
    radial, matrices = random(bucket.distances, len(paths), channels), random(bucket.pairs, n_columns)
    with torch.no_grad():
        radial[made.distance_of[n_pairs:]] = 0.0  # beyond the cutoff: what fills up
    pattern = Pattern(paths, coupling, listed, made.senders, made.distance_of)
    expected = by_all_pairs(x, radial, matrices, listed, pattern)
    g = random(*expected.shape).detach()
    inputs = [tensor for tensor in (x, radial, matrices) if tensor is not None]
    slopes = torch.autograd.grad((expected * g).sum(), inputs)
    lists = (listed.row_of, listed.begins, listed.items, listed.sent_begins, listed.sent_items)
    arguments = (None if x is None else x.detach(), radial.detach(), matrices.detach())
    of_pairs = (made.senders, made.distance_of, sums.numbers_of(paths))
    found = sums.kernels.sums(*arguments, *lists[1:3], *of_pairs)
    d_x, d_radial, d_matrices = sums.kernels.gradients(g, *arguments, *lists, *of_pairs)
    digits = 1e-12 if dtype == torch.float64 else 1e-5
    real = torch.ones(bucket.distances, dtype=torch.bool, device=DEVICE)
    real[made.distance_of[n_pairs:]] = False

    def assert_close(ours, theirs):
        theirs = theirs.detach().cpu().numpy()
        np.testing.assert_allclose(ours.cpu(), theirs, rtol=0, atol=digits * np.abs(theirs).max())

    assert_close(found, expected)
    assert_close(d_radial[real], slopes[-2][real])  # what fills up has no slope by the network
    assert_close(d_matrices, slopes[-1])
    if with_x:
        assert_close(d_x, slopes[0])
