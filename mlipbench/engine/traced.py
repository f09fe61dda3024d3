"""The network for accelerators: energies and their derivatives recorded as one graph of tensor operations.

What is traced is the network itself with `torch.autograd.grad` around it, so that the graph holds the way
there and the way back, and nothing of autograd is left in it; the sum over neighbours is one operation of it
(`mlipbench.engine.sums`). inductor compiles it; on CUDA it is then captured, and a call is one replay. All of
that asks for shapes that do not change. So atoms and pairs are filled up to a `Bucket`, which has room to
spare and serves as long as they fit. What fills up is beyond every cutoff, where radial functions and their
slopes are exactly zero, and so are the pairs of a neighbour list with a skin that are farther than the
cutoff: which pairs there are then changes rarely, and between such changes a call takes nothing but the
positions along.

Members of a committee have one graph, and their weights are among its inputs. Answers equal those of the
network to rounding; they are not the same bit for bit whatever is computed beside them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.engine import Answer
from mlipbench.engine.sums import COMPILE_ERRORS, Rows
from mlipbench.model.graph import Graph, ListedPairs, Ragged, Summing, graph_of_pairs
from mlipbench.model.network import Network
from mlipbench.model.radial import covalent_radii

Arrays = dict[str, IntArray]

_SPARE = 1.1  # room for more pairs than a bucket is made for
_STEP = 8  # sizes are multiples of it


@dataclass(frozen=True)
class Bucket:
    """The shapes of a graph."""

    atoms: tuple[tuple[int, int], ...]  # element (index into those of the network) and its atoms, rising
    pairs: int
    distances: int

    @classmethod
    def of(cls, graph: Graph) -> Bucket:
        """What a graph needs; atoms of an element in steps of an eighth of their number."""
        return cls(
            atoms=tuple((element, _rounded(len(atoms))) for element, atoms in graph.by_element),
            pairs=len(graph.receivers) + 1,  # one at least fills up
            distances=len(graph.distance_pairs) + 1,
        )

    @property
    def n_atoms(self) -> int:
        """Those that fill up included."""
        return sum(count for _, count in self.atoms)

    def holds(self, other: Bucket) -> bool:
        """Whether what fits into the other one fits into this one."""
        return self.atoms == other.atoms and self.pairs >= other.pairs and self.distances >= other.distances

    def with_room(self) -> Bucket:
        """One with room for more pairs."""

        def more(size: int) -> int:
            return _rounded(int(np.ceil(_SPARE * size)) + 1)

        return Bucket(self.atoms, more(self.pairs), more(self.distances))


class TracedEngine:
    """Networks of one architecture, all of one dtype on one device; without gradients for their weights.

    `lowered`: compile the graph with inductor, instead of running its operations one by one.
    """

    def __init__(self, networks: Sequence[Network], lowered: bool) -> None:
        self._networks, self._lowered = list(networks), lowered
        self._programs: dict[tuple[tuple[int, int], ...], _Program] = {}
        self._arranged: tuple[ListedPairs, _Program] | None = None  # of the last call
        self.n_made = 0
        """Graphs traced so far."""

    def evaluate(self, pairs: ListedPairs, positions: FloatArray) -> Answer:
        """Energies, forces and virials of structures at positions (n_atoms, 3) A; pairs beyond the cutoff
        add nothing.

        Raises PotentialError where the graph cannot be compiled here.
        """
        program = self._serving(pairs, positions) or self.make(pairs, positions)
        program.place(positions)
        found = np.stack([program.run(n)[: len(positions)] for n in range(len(self._networks))])
        first = np.searchsorted(pairs.structure, np.arange(len(pairs.volumes)))
        virials = np.add.reduceat(found[:, :, 4:], first, axis=1).reshape(len(found), -1, 3, 3)
        return Answer(
            np.ascontiguousarray(found[:, :, 0]),
            np.ascontiguousarray(found[:, :, 1:4]),
            0.5 * (virials + virials.swapaxes(2, 3)),
        )

    def serves(self, pairs: ListedPairs, positions: FloatArray) -> bool:
        """Whether a graph that has been made serves these pairs."""
        return self._serving(pairs, positions) is not None

    def _serving(self, pairs: ListedPairs, positions: FloatArray) -> _Program | None:
        """The graph that serves them, with their indices, which those of the last call it has already."""
        if self._arranged is not None:
            before, program = self._arranged
            if before is pairs:
                return program
            if all(np.array_equal(*both) for both in zip(before[:3], pairs[:3], strict=True)):
                program.shift(pairs.offsets)
                self._arranged = pairs, program
                return program
        graph = graph_of_pairs(*pairs.at(positions))
        need = Bucket.of(graph)
        made = self._programs.get(need.atoms)
        if made is None or not made.bucket.holds(need):
            return None
        made.arrange(graph, pairs.offsets)
        self._arranged = pairs, made
        return made

    def make(self, pairs: ListedPairs, positions: FloatArray) -> _Program:
        """Make the graph that serves these pairs, in place of one that is too small. Raises PotentialError
        where it cannot be compiled here."""
        graph = graph_of_pairs(*pairs.at(positions))
        need = Bucket.of(graph)
        self._arranged = None
        self._programs.pop(need.atoms, None)  # frees its memory first
        made = _Program(self._networks, need.with_room(), graph, pairs.offsets)
        made.place(positions)
        made.prepare(self._lowered)
        self._programs[need.atoms] = made
        self._arranged = pairs, made
        self.n_made += 1
        return made


class _Program:
    """The graph of one bucket, and the memory that its inputs lie in."""

    def __init__(
        self, networks: Sequence[Network], bucket: Bucket, graph: Graph, offsets: FloatArray
    ) -> None:
        self.bucket, self._network = bucket, networks[0]
        self._weights = [list(network.state_dict().values()) for network in networks]
        self._device = networks[0].embedding.device
        on_cuda = self._device.type == "cuda"
        self._beyond = _beyond(networks[0])
        self._inputs = {
            name: torch.from_numpy(array).to(self._device) for name, array in padded(graph, bucket).items()
        }
        self._staged = torch.zeros(bucket.n_atoms, 3, dtype=torch.float64, pin_memory=on_cuda)
        self._positions = torch.zeros_like(self._staged, device=self._device)
        self._offsets = torch.zeros(bucket.pairs, 3, dtype=torch.float64, device=self._device)
        self.shift(offsets)
        self._run: list[Callable[[], torch.Tensor]] = []
        # Members run one after the other, and share the memory of what none of them keeps.
        self._pool = torch.cuda.graph_pool_handle() if on_cuda else None

    def arrange(self, graph: Graph, offsets: FloatArray) -> None:
        """Take other pairs, with their offsets (n_pairs, 3) A."""
        for name, array in padded(graph, self.bucket).items():
            self._inputs[name].copy_(torch.from_numpy(array))
        self.shift(offsets)

    def shift(self, offsets: FloatArray) -> None:
        """Take other offsets (n_pairs, 3) A of the same pairs."""
        self._offsets[: len(offsets)].copy_(torch.from_numpy(offsets))
        self._offsets[len(offsets) :] = torch.tensor([self._beyond, 0.0, 0.0])  # of an atom to itself

    def place(self, positions: FloatArray) -> None:
        """Take positions (n_atoms, 3) A."""
        self._staged.numpy()[: len(positions)] = positions
        self._positions.copy_(self._staged, non_blocking=True)

    def run(self, member: int) -> FloatArray:
        """Of the atoms energy, force and virial, (n_atoms, 1 + 3 + 9); with the atoms that fill up."""
        found: FloatArray = self._run[member]().cpu().numpy()
        return found

    def prepare(self, lowered: bool) -> None:
        """Trace, compile, capture."""
        arguments = [self._positions, self._offsets, *self._inputs.values()]
        first = [*self._weights[0], *arguments]
        with torch.no_grad(), _explained(self._device, lowered=False):  # kernels compile at their first call
            self._function(*first)  # once before, so that what the network keeps is made outside of the trace
            graph: Callable[..., torch.Tensor] = make_fx(self._function)(*first)
        with warnings.catch_warnings(), _explained(self._device, lowered):
            # torch's compiler uses what torch deprecates
            warnings.simplefilter("ignore", DeprecationWarning)
            if lowered:
                # Its vectorised C++ adds beyond the end of what it indexes (pytorch issue 191837).
                graph = torch.compile(
                    graph, fullgraph=True, dynamic=False,
                    options={"cpp.simdlen": 1} if self._device.type == "cpu" else None,
                )  # fmt: skip
            self._run = [self._bound(graph, [*weights, *arguments]) for weights in self._weights]

    def _bound(
        self, graph: Callable[..., torch.Tensor], arguments: list[torch.Tensor]
    ) -> Callable[[], torch.Tensor]:
        """The graph with its inputs, run once; on CUDA captured: it reads and writes in one place."""

        def run() -> torch.Tensor:
            with torch.no_grad():
                return graph(*arguments)

        if self._device.type != "cuda":
            run()
            return run
        torch.cuda.empty_cache()  # a stream does not use what another has kept
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):  # not yet captured: kernels are compiled and libraries start
            for _ in range(3):
                run()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured, pool=self._pool):
            answer = run()

        def replay() -> torch.Tensor:
            captured.replay()
            return answer

        return replay

    def _function(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Weights, positions, offsets, indices -> see `run`."""
        names = list(self._network.state_dict())
        weights = dict(zip(names, tensors, strict=False))
        positions, offsets, *indices = tensors[len(names) :]
        graph = _graph(self.bucket, dict(zip(self._inputs, indices, strict=True)))
        vectors = positions[graph.receivers] - positions[graph.senders] - offsets
        with torch.enable_grad():
            moving = vectors.detach().to(self._network.embedding.dtype).requires_grad_()
            energies = functional_call(self._network, weights, (replace(graph, vectors=moving),)).energies
            (slopes,) = torch.autograd.grad(energies.sum(), moving)
        forces = slopes.new_zeros(graph.n_atoms, 3).index_add(0, graph.senders, slopes)
        forces = forces.index_add(0, graph.receivers, -slopes)
        products = (slopes[:, :, None] * moving.detach()[:, None, :]).flatten(1)
        virials = slopes.new_zeros(graph.n_atoms, 9).index_add(0, graph.receivers, products)
        return torch.cat([energies.detach()[:, None], forces, virials], dim=1).double()


def padded(graph: Graph, bucket: Bucket) -> Arrays:
    """Indices of a graph, filled up to a bucket that holds it."""
    n_atoms, n_pairs, n_distances = graph.n_atoms, len(graph.receivers), len(graph.distance_pairs)
    more = np.arange(bucket.pairs - n_pairs)
    listed, spare = [], np.arange(n_atoms, bucket.n_atoms)
    species = np.zeros(bucket.n_atoms, dtype=np.int64)
    species[:n_atoms] = graph.species.numpy()
    for (element, count), (_, atoms) in zip(bucket.atoms, graph.by_element, strict=True):
        extra, spare = np.split(spare, [count - len(atoms)])
        species[extra] = element
        listed += [atoms.numpy(), extra]
    by_element = np.concatenate(listed)

    def filled(values: torch.Tensor, rest: IntArray) -> IntArray:
        return np.concatenate([values.numpy(), rest])

    n_elements = len(bucket.atoms)
    kinds = graph.kind_receivers * n_elements + graph.kind_elements
    by_kind = _listed(graph.by_kind, kinds, bucket.n_atoms * n_elements)
    by_receiver = _listed(graph.by_receiver, torch.arange(n_atoms), bucket.n_atoms)
    sent = np.zeros(bucket.n_atoms + 1, dtype=np.int64)
    np.cumsum(np.bincount(graph.senders.numpy(), minlength=bucket.n_atoms), out=sent[1:])
    kind_of = np.empty(n_pairs, dtype=np.int64)
    kind_of[by_kind[1]] = np.repeat(np.arange(bucket.n_atoms * n_elements), np.diff(by_kind[0]))
    # Spread over all that fills up, and over all atoms: many that add to one place would wait for each other.
    return {
        "species": species,
        "receivers": filled(graph.receivers, more % bucket.n_atoms),
        "senders": filled(graph.senders, more % bucket.n_atoms),
        "by_element": by_element,
        "from_sorted": np.argsort(by_element),
        "distance_of": filled(graph.distance_of, n_distances + more % (bucket.distances - n_distances)),
        "distance_pairs": filled(
            graph.distance_pairs, n_pairs + np.arange(bucket.distances - n_distances) % len(more)
        ),
        "receiver_begins": by_receiver[0],
        "received": np.concatenate([by_receiver[1], n_pairs + more]),
        "kind_of": np.concatenate([kind_of, more % (bucket.n_atoms * n_elements)]),
        "kind_begins": by_kind[0],
        "of_kind": np.concatenate([by_kind[1], n_pairs + more]),
        "sender_begins": sent,
        "sent": np.concatenate([np.argsort(graph.senders.numpy(), kind="stable"), n_pairs + more]),
    }


def _listed(ragged: Ragged | Summing, numbers: torch.Tensor, n_rows: int) -> tuple[IntArray, IntArray]:
    """Where rows begin (n_rows + 1,), and their items; `numbers` are those of the rows among n_rows."""
    if not isinstance(ragged, Ragged):
        raise TypeError(f"expected Ragged rows, got {type(ragged).__name__}")
    begins = np.zeros(n_rows + 1, dtype=np.int64)
    begins[1 + numbers[ragged.rows].numpy()] = ragged.counts
    return np.cumsum(begins), ragged.items.numpy()


def _graph(bucket: Bucket, arrays: dict[str, torch.Tensor]) -> Graph:
    """The graph that `padded` describes, without vectors; what asks for structures is left empty."""
    place = arrays["species"].device
    atoms = torch.split(arrays["by_element"], [count for _, count in bucket.atoms])
    n_elements = len(bucket.atoms)
    kinds = torch.arange(bucket.n_atoms * n_elements, device=place)
    empty = torch.empty(0, device=place)
    sent = arrays["sender_begins"], arrays["sent"]
    return Graph(
        species=arrays["species"],
        receivers=arrays["receivers"],
        senders=arrays["senders"],
        vectors=empty,
        structure=empty,
        volumes=empty,
        by_element=tuple((element, part) for (element, _), part in zip(bucket.atoms, atoms, strict=True)),
        from_sorted=arrays["from_sorted"],
        distance_of=arrays["distance_of"],
        distance_pairs=arrays["distance_pairs"],
        by_receiver=Rows(arrays["receivers"], arrays["receiver_begins"], arrays["received"], *sent),
        by_kind=Rows(arrays["kind_of"], arrays["kind_begins"], arrays["of_kind"], *sent),
        kind_receivers=kinds // n_elements,
        kind_elements=kinds % n_elements,
    )


def _beyond(network: Network) -> float:
    """A distance in A at which all functions of the network vanish."""
    shape = network.architecture
    return 2.0 * max(shape.r_max, 2.0 * float(covalent_radii(shape.elements).max()))


def _rounded(size: int) -> int:
    """The size or a little more: at most an eighth, or _STEP."""
    step = max(_STEP, 1 << max(size.bit_length() - 4, 0))
    return -(-size // step) * step


@contextlib.contextmanager
def _explained(device: torch.device, lowered: bool) -> Iterator[None]:
    """Raise PotentialError, which says what to do, for what a compiler raises; not for a lack of memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except COMPILE_ERRORS as error:
        raise PotentialError(_advice(device, lowered, error)) from error


def _advice(device: torch.device, lowered: bool, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (
        " ".join(lines[:2]) or type(error).__name__
    )  # the first names the compiler, the second what failed
    if not lowered:
        return f"the traced network does not run on {device} ({reason}); use `engine: torch`"
    needs = "Triton and a driver that it knows" if device.type == "cuda" else "a C++ compiler"
    return (
        f"inductor could not compile the network for {device} ({reason}). It needs {needs}; "
        "`engine: traced` runs the same graph without a compiler, `engine: torch` the network itself"
    )
