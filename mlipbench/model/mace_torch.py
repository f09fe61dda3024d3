"""From a mace-torch model to a package: the same answers from our network.

`read` takes from a model, alive in memory, its settings and tensors under mace-torch's own names;
`convert` maps them to ours, and needs mace-torch no more. Where the two order things alike, weights are
copied as they are, so that normalisations and gradients agree too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from mlipbench.core.errors import InputError
from mlipbench.core.structure import FloatArray
from mlipbench.model.architecture import Architecture, Block
from mlipbench.model.interaction import paths
from mlipbench.model.network import Network
from mlipbench.model.package import Package, package, versions
from mlipbench.model.product import basis, symmetrised

BLOCKS: dict[str, Block] = {
    "RealAgnosticInteractionBlock": "agnostic",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
}


@dataclass(frozen=True, eq=False)
class MaceModel:
    """What a mace-torch model consists of."""

    settings: dict[str, Any]  # fields of `Architecture`, plain data
    heads: list[str]
    tensors: dict[str, FloatArray]  # state_dict under mace-torch's names, without its U matrices
    couplings: dict[str, FloatArray]  # contraction -> power -> (its paths, our paths): its U in ours


def load_model(path: Path, trust: bool) -> Any:
    """The model in a file of mace-torch, on the CPU.

    Such a file is a pickle, and reading it runs whatever code it names: `trust` says that the user
    wants that. Raises InputError.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a model written by mace-torch")
    if not trust:
        raise InputError(
            f"{path}: a model of mace-torch is a pickle, and reading it runs whatever code it contains; "
            "if you trust where it comes from, say so with --trust-pickle"
        )
    try:
        import mace.modules  # noqa: F401  the pickle names its classes
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs mace-torch, which cannot be imported ({error}); install it into "
            "this environment: pip install mace-torch"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a pickle may raise anything
        raise InputError(
            f"{path}: torch cannot read it ({type(error).__name__}: {error}); expected a model that "
            "mace-torch has written, and the mace-torch of about that version"
        ) from error


def read(model: Any) -> MaceModel:
    """Settings and tensors of a mace-torch model; InputError where our network has not what it uses."""
    _refuse(model)
    first, last = model.interactions[0], model.interactions[-1]
    readout = model.readouts[-1]
    transform = getattr(model.radial_embedding, "distance_transform", None)
    settings = {
        "elements": [int(z) for z in model.atomic_numbers],
        "r_max": float(model.r_max),
        "num_layers": len(model.interactions),
        "hidden_irreps": str(model.products[0].linear.irreps_out),
        "max_ell": int(first.edge_attrs_irreps.lmax),
        "correlation": [_contraction(product, 0).correlation for product in model.products],
        "interaction_first": BLOCKS[type(first).__name__],
        "interaction": BLOCKS[type(last).__name__],
        "num_radial_basis": len(model.radial_embedding.bessel_fn.bessel_weights),
        "num_polynomial_cutoff": int(model.radial_embedding.cutoff_fn.p),
        "distance_transform": type(transform).__name__.removesuffix("Transform").lower()
        if transform is not None
        else "none",
        "cutoff_acts_on": "basis" if getattr(model, "apply_cutoff", True) else "weights",
        "radial_mlp": list(first.conv_tp_weights.hs[1:-1]),
        "avg_num_neighbors": float(first.avg_num_neighbors),
        "zbl": hasattr(model, "pair_repulsion_fn"),
        "activation_gain": float(first.conv_tp_weights.layer0.act.cst),
    }
    heads = list(getattr(model, "heads", ["Default"]))
    if hasattr(readout, "hidden_irreps"):
        settings["readout_mlp"] = readout.hidden_irreps.num_irreps // len(heads)
    state = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    return MaceModel(
        settings=settings,
        heads=heads,
        tensors={name: array for name, array in state.items() if "U_matrix" not in name},
        couplings=_couplings(model, int(first.edge_attrs_irreps.lmax)),
    )


def convert(model: MaceModel, name: str, head: str | None, origin: dict[str, Any]) -> Package:
    """The package that answers as the model does; `head` chooses one where the model has several."""
    number = _head_number(model, head)
    try:
        architecture = Architecture.model_validate(model.settings)
    except ValidationError as error:
        raise InputError(f"the model cannot be converted: {error}") from error
    network = Network(architecture, seed=0)
    weights = _Translation(model, architecture, number).weights()
    network.load_state_dict({n: torch.from_numpy(np.array(array)) for n, array in weights.items()})
    energies = np.atleast_2d(model.tensors["atomic_energies_fn.atomic_energies"])[number]
    return package(
        name,
        [network],
        dict(zip(architecture.elements, energies.tolist(), strict=True)),
        {"converted_from": "mace-torch", "head": model.heads[number], **origin},
    )


def convert_file(path: Path, name: str, head: str | None, trust: bool) -> Package:
    """`load_model`, `read` and `convert`; the sha256 of the file is kept."""
    from hashlib import file_digest

    model = read(load_model(path, trust))
    with path.open("rb") as stream:
        sha256 = file_digest(stream, "sha256").hexdigest()
    return convert(model, name, head, {"file": path.name, "sha256": sha256, **versions("mace-torch")})


class _Translation:
    """Tensors of mace-torch, reshaped and named as ours."""

    def __init__(self, model: MaceModel, architecture: Architecture, head: int) -> None:
        self.tensors, self.couplings = model.tensors, model.couplings
        self.architecture = architecture
        self.head, self.n_heads = head, len(model.heads)
        self.channels, self.n_elements = architecture.channels, len(architecture.elements)

    def weights(self) -> dict[str, FloatArray]:
        """State of a `Network`."""
        t = self.tensors
        out = {"embedding": t["node_embedding.linear.weight"].reshape(self.n_elements, self.channels)}
        out["basis.frequencies"] = t["radial_embedding.bessel_fn.bessel_weights"]
        out["basis.prefactor"] = t["radial_embedding.bessel_fn.prefactor"]
        z = list(self.architecture.elements)
        transform = "radial_embedding.distance_transform"
        if self.architecture.distance_transform != "none":
            out["basis.transform.radii"] = t[f"{transform}.covalent_radii"][z]
            for name in {"agnesi": ("a", "q", "p"), "soft": ("alpha",)}[self.architecture.distance_transform]:
                out[f"basis.transform.{name}"] = t[f"{transform}.{name}"]
        if self.architecture.zbl:
            out["repulsion.charges"] = np.array(z, dtype=np.float64)
            out["repulsion.radii"] = t["pair_repulsion_fn.covalent_radii"][z]
            for ours, theirs in (("screening", "c"), ("length", "a_prefactor"), ("exponent", "a_exp")):
                out[f"repulsion.{ours}"] = t[f"pair_repulsion_fn.{theirs}"]
        for name, neutral in (("scale", 1.0), ("shift", 0.0)):  # plain MACE has neither
            values = np.atleast_1d(t.get(f"scale_shift.{name}", np.array(neutral)))
            out[name] = values[self.head if len(values) > 1 else 0]
        for layer in range(self.architecture.num_layers):
            out |= self._interaction(layer) | self._product(layer) | self._readout(layer)
        return out

    def _interaction(self, layer: int) -> dict[str, FloatArray]:
        ours, theirs = f"interactions.{layer}", f"interactions.{layer}"
        t, c = self.tensors, self.channels
        orders = self.architecture.hidden_orders if layer else (0,)
        messages = tuple(range(self.architecture.max_ell + 1))
        out = {}
        for n, block in enumerate(t[f"{theirs}.linear_up.weight"].reshape(len(orders), c, c)):
            out[f"{ours}.up.weights.{n}"] = block
        for n in range(len(self.architecture.radial_mlp) + 1):
            out[f"{ours}.radial.weights.{n}"] = t[f"{theirs}.conv_tp_weights.layer{n}.weight"]
        all_paths = paths(orders, self.architecture.max_ell)
        down, begin = t[f"{theirs}.linear.weight"].reshape(-1, c, c), 0
        for n, l3 in enumerate(messages):
            count = sum(path[2] == l3 for path in all_paths)
            out[f"{ours}.down.{n}"] = down[begin : begin + count]
            begin += count
        kind = self.architecture.interaction_of(layer)
        if kind.startswith("density"):
            out[f"{ours}.density.weights.0"] = t[f"{theirs}.density_fn.layer0.weight"]
        # mace-torch: (order, channel in, element, channel out); ours: (order, element, in, out)
        skip = t[f"{theirs}.skip_tp.weight"].reshape(-1, c, self.n_elements, c).transpose(0, 2, 1, 3)
        place = "residual" if kind.endswith("residual") else "mixing"
        return out | {f"{ours}.{place}.weights.{n}": block for n, block in enumerate(skip)}

    def _product(self, layer: int) -> dict[str, FloatArray]:
        theirs, c = f"products.{layer}", self.channels
        out = {}
        orders = self.architecture.orders_after(layer)
        correlation = self.architecture.correlation_of(layer)
        for n in range(len(orders)):
            contraction = f"{theirs}.symmetric_contractions.contractions.{n}"
            place = 0
            for power in range(1, correlation + 1):
                change = self.couplings.get(f"{contraction}.{power}")
                if change is None:
                    continue
                # Theirs are listed from the highest power down, the highest apart.
                name = "weights_max" if power == correlation else f"weights.{correlation - 1 - power}"
                weight = np.einsum("epc,pq->eqc", self.tensors[f"{contraction}.{name}"], change)
                out[f"{theirs}.contractions.{n}.weights.{place}"] = weight
                place += 1
        for n, block in enumerate(self.tensors[f"{theirs}.linear.weight"].reshape(len(orders), c, c)):
            out[f"{theirs}.linear.weights.{n}"] = block
        return out

    def _readout(self, layer: int) -> dict[str, FloatArray]:
        ours, h = f"readouts.{layer}.weights", self.n_heads
        linear = self.tensors.get(f"readouts.{layer}.linear.weight")
        if linear is not None:
            return {f"{ours}.0": linear.reshape(self.channels, h)[:, self.head, None]}
        width = self.architecture.readout_mlp
        first = self.tensors[f"readouts.{layer}.linear_1.weight"].reshape(self.channels, h, width)
        second = self.tensors[f"readouts.{layer}.linear_2.weight"].reshape(h, width, h)
        # Theirs is divided by the root of the widths of all heads together.
        return {
            f"{ours}.0": first[:, self.head],
            f"{ours}.1": second[self.head, :, self.head, None] / np.sqrt(h),
        }


def _refuse(model: Any) -> None:
    """InputError for what our network does not have."""
    if type(model).__name__ not in ("MACE", "ScaleShiftMACE"):
        raise InputError(
            f"expected a MACE or ScaleShiftMACE of mace-torch, got {type(model).__name__}; models of "
            "dipoles, charges or long-range energies cannot be converted"
        )
    found = sorted({type(i).__name__ for i in model.interactions} - set(BLOCKS))
    if found:
        raise InputError(
            f"the model has interactions {found}; those that can be converted are {list(BLOCKS)}"
        )
    if len({type(i).__name__ for i in model.interactions[1:]}) > 1:
        raise InputError("the model has several kinds of interaction after the first layer; expected one")
    bessel = type(model.radial_embedding.bessel_fn).__name__
    silu = [
        getattr(r.non_linearity.acts[0], "f", None) for r in model.readouts if hasattr(r, "non_linearity")
    ]
    reasons = {
        f"its radial basis is {bessel}, expected BesselBasis": bessel != "BesselBasis",
        "its readout is not silu": any(f is not torch.nn.functional.silu for f in silu),
        "it reads out some layers only": len(model.readouts) != len(model.interactions),
        "its readouts have biases": any("Bias" in type(r).__name__ for r in model.readouts),
        "it embeds charges or spins": hasattr(model, "joint_embedding"),
        "it uses SO(3) irreps": getattr(model, "use_so3", False),
        "its products do not depend on the element": getattr(model, "use_agnostic_product", False),
        "its edges have channels of their own": getattr(model, "edge_irreps", None) is not None,
        "it was compiled for cuequivariance: convert it back by mace-torch's own tool first": not hasattr(
            model.products[0].symmetric_contractions, "contractions"
        ),
        "its last layer keeps more than scalars": model.products[-1].linear.irreps_out.lmax > 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"the model cannot be converted: {reason}")


def _contraction(product: Any, number: int) -> Any:
    return product.symmetric_contractions.contractions[number]


def _couplings(model: Any, max_ell: int) -> dict[str, FloatArray]:
    """For each contraction and power the model's U in terms of ours, (its paths, our paths).

    The same couplings up to signs, where the model has all of them; else the combination of ours that
    is the same polynomial.
    """
    out = {}
    for layer, product in enumerate(model.products):
        for n, (_, irrep) in enumerate(product.linear.irreps_out):
            contraction = _contraction(product, n)
            for power in range(1, contraction.correlation + 1):
                ours = basis(max_ell, power, irrep.l)
                if not len(ours):
                    continue
                u = contraction.U_tensors(power).double().numpy()
                theirs = np.moveaxis(u if irrep.l else u[None], -1, 0)
                name = f"products.{layer}.symmetric_contractions.contractions.{n}.{power}"
                out[name] = _in_terms_of(theirs, ours, (max_ell, power, irrep.l))
    return out


def _in_terms_of(theirs: FloatArray, ours: FloatArray, which: tuple[int, int, int]) -> FloatArray:
    if theirs.shape == ours.shape:
        signs = np.sign((theirs * ours).reshape(len(ours), -1).sum(axis=1))
        if np.allclose(theirs, signs.reshape(-1, *[1] * (ours.ndim - 1)) * ours, rtol=0, atol=1e-6):
            return np.diag(signs)
    rows, wanted = (symmetrised(u, which[1])[1].reshape(len(u), -1).T for u in (ours, theirs))
    change, *_ = np.linalg.lstsq(rows, wanted, rcond=1e-10)
    worst = np.abs(rows @ change - wanted).max()
    if worst > 1e-5:
        raise InputError(
            f"the model's couplings of {which[1]} messages to order {which[2]} are not among ours (off by "
            f"{worst:.2g}); it was made by a mace-torch that this version does not know"
        )
    return np.ascontiguousarray(change.T)


def _head_number(model: MaceModel, head: str | None) -> int:
    if head is None and len(model.heads) == 1:
        return 0
    if head not in model.heads:
        raise InputError(
            f"the model has the heads {', '.join(model.heads)}; choose one with --head"
            + (f", got '{head}'" if head is not None else "")
        )
    return model.heads.index(head)
