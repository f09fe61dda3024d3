"""The shape of a network: everything that decides which weights it has and what they mean.

Fields have the names of mace-torch's training options, where it has such an option.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from mlipbench.model import irreps

Block = Literal["agnostic", "residual", "density", "density_residual"]
"""Kinds of interaction: `residual` ones pass an atom's features on beside the message, the others mix the
message by an element-dependent linear map; `density` ones divide the message by a sum over the
neighbours at hand instead of their average number."""

Power = Annotated[int, Field(ge=1, le=3)]

SILU_GAIN = 1.6791767923989418
"""1 / rms of silu(z), z normal with variance 1, as e3nn estimates it from a million draws. Weights that
were trained with this factor need exactly this factor."""


def _whole_or_per_layer(value: object) -> object:
    return (value,) if isinstance(value, int) else value


class Architecture(BaseModel):
    """The network of Batatia et al., NeurIPS 35, 11423 (2022), arXiv:2206.07697."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: tuple[Annotated[int, Field(ge=1, le=118)], ...] = Field(min_length=1)
    """Atomic numbers, rising: weights that depend on the element come in this order."""
    r_max: float = Field(gt=0, le=20)
    """Cutoff in A."""
    num_layers: int = Field(default=2, ge=1, le=6)
    hidden_irreps: str = "128x0e + 128x1o"
    """Features between the layers: channels x order and parity. The last layer keeps the scalars alone."""
    max_ell: int = Field(default=3, ge=0, le=3)
    """Highest order of the spherical harmonics, and of the messages."""
    correlation: Annotated[tuple[Power, ...], BeforeValidator(_whole_or_per_layer)] = (3,)
    """Highest power of the messages in the product; one number, or one per layer. Energies of one layer
    have the body order correlation + 1."""
    interaction_first: Block = "residual"
    interaction: Block = "residual"
    num_radial_basis: int = Field(default=8, ge=1, le=64)
    num_polynomial_cutoff: int = Field(default=5, ge=2, le=12)
    """Exponent p of the cutoff function, which is 1 - O(r^p) at short distances. At the cutoff it vanishes
    with its first and second derivative, whatever p is."""
    distance_transform: Literal["none", "agnesi", "soft"] = "none"
    cutoff_acts_on: Literal["basis", "weights"] = "basis"
    """Whether the cutoff multiplies the Bessel functions or the radial weights made of them."""
    radial_mlp: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64, 64)
    """Widths of the hidden layers between Bessel functions and radial weights."""
    readout_mlp: int = Field(default=16, ge=1)
    """Width of the hidden layer of the last readout; earlier readouts are linear, and so is a lone one."""
    avg_num_neighbors: float = Field(gt=0)
    """By which messages are divided (blocks without density)."""
    zbl: bool = False
    """Add the screened nuclear repulsion of Ziegler, Biersack and Littmark at short distances."""
    activation_gain: float = Field(default=SILU_GAIN, gt=0)
    """What every silu is multiplied by."""

    @field_validator("elements")
    @classmethod
    def _rising(cls, elements: tuple[int, ...]) -> tuple[int, ...]:
        if list(elements) != sorted(set(elements)):
            raise ValueError(f"expected atomic numbers in rising order, each once, got {list(elements)}")
        return elements

    @field_validator("hidden_irreps")
    @classmethod
    def _understood(cls, hidden: str) -> str:
        _, orders = irreps.parse(hidden)
        if orders[-1] > 2:
            raise ValueError(f"'{hidden}': features between layers have orders up to 2, got {orders[-1]}")
        return hidden

    @model_validator(mode="after")
    def _consistent(self) -> Architecture:
        if len(self.correlation) not in (1, self.num_layers):
            raise ValueError(
                f"correlation is one number, or one for each of the {self.num_layers} layers, got "
                f"{list(self.correlation)}"
            )
        reach = [min(self.max_ell * power, 2) for power in self.correlation]
        if self.num_layers > 1 and self.hidden_orders[-1] > min(reach):
            raise ValueError(
                f"hidden_irreps '{self.hidden_irreps}' with max_ell {self.max_ell} and correlation "
                f"{list(self.correlation)}: products of messages reach order {min(reach)} only"
            )
        return self

    @property
    def channels(self) -> int:
        """Channels of each order."""
        return irreps.parse(self.hidden_irreps)[0]

    @property
    def hidden_orders(self) -> tuple[int, ...]:
        """Orders l of the features between layers."""
        return irreps.parse(self.hidden_irreps)[1]

    def orders_after(self, layer: int) -> tuple[int, ...]:
        """Orders of the features that a layer hands on: the last one, scalars alone."""
        return (0,) if layer == self.num_layers - 1 else self.hidden_orders

    def correlation_of(self, layer: int) -> int:
        """Highest power of the messages in a layer's product."""
        return self.correlation[layer if len(self.correlation) > 1 else 0]

    def interaction_of(self, layer: int) -> Block:
        """Kind of a layer's interaction."""
        return self.interaction_first if layer == 0 else self.interaction
