"""What a native network holds: matrices as they lie in their file, all else as float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Format, Weight
from canvaslm.model.config import LayerConfig, ModelConfig

# D hidden, I intermediate, E experts, d head

State = Mapping[str, Tensor | Weight | Sequence[Weight]]
"""The network's parameters by the names of `Transformer.state_dict`.

A matrix is a Weight, or a float32 or bfloat16 tensor, which is used as it is. Experts are stacked
as there, or unfused: `layers.0.experts.gate`, `.up` and `.down`, each a sequence of E weights.
"""

JOINED = 1 << 20
"""Matrices that read the same rows are copied into one where they have no more numbers together."""

FORMATS: Mapping[torch.dtype, Format] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}

KIND: Mapping[Format, Kind] = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "int8": "int8",
    "int4": "int8",
    "mxfp4": "int8",
}
"""What rows are rounded to for a weight, unless something else is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GatedWeights:
    """An MLP: `gate_up` is both in one, gate rows first, or the two of them."""

    gate_up: tuple[Weight, ...]  # [2 I, D], or two of [I, D]
    down: Weight  # [D, I]


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureWeights:
    """Experts with their router, which holds `router_in`, its input scale and 1 / sqrt(D)."""

    router: Tensor  # [E, D]
    router_in: Tensor  # [D]
    expert_scale: Tensor  # [E]
    gate: Sequence[Weight]  # E of [I, D]
    up: Sequence[Weight]
    down: Sequence[Weight]  # E of [D, I]
    norm_in: Tensor  # [D]
    mlp_out: Tensor
    experts_out: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerWeights:
    """One layer: `qkv` is all of them in one, or q, k and, on sliding layers, v."""

    qkv: tuple[Weight, ...]
    o: Weight
    q_norm: Tensor  # [d]
    k_norm: Tensor
    attention_in: Tensor  # [D]
    attention_out: Tensor
    mlp: GatedWeights
    mlp_in: Tensor
    feedforward_out: Tensor
    mixture: MixtureWeights | None
    encode_scalar: float
    denoise_scalar: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkWeights:
    """All of a network."""

    embedding: Weight  # [V, D]
    layers: tuple[LayerWeights, ...]
    norm: Tensor  # [D]
    conditioning: GatedWeights
    conditioning_in: Tensor

    @property
    def score_bounds(self) -> tuple[float, ...]:
        """What |q k| of each layer cannot exceed; see `Transformer.score_bounds`."""
        return tuple(
            len(layer.q_norm) * float(layer.q_norm.abs().max() * layer.k_norm.abs().max())
            for layer in self.layers
        )


def weights_of(config: ModelConfig, state: State) -> NetworkWeights:
    """Arrange a network's parameters; nothing is copied but what is small."""
    gather = Gather(config, state)
    return NetworkWeights(
        embedding=gather.matrix("embedding"),
        layers=tuple(gather.layer(i, shape) for i, shape in enumerate(config.layers)),
        norm=gather.numbers("norm.weight"),
        conditioning=gather.gated("self_conditioning.mlp"),
        conditioning_in=gather.numbers("self_conditioning.norm_in.weight"),
    )


class Gather:
    """Parameters by name, as the native network wants them."""

    def __init__(self, config: ModelConfig, state: State) -> None:
        self.config, self.state = config, state

    def numbers(self, name: str) -> Tensor:
        """A small tensor, in float32."""
        found = self.state[name]
        assert isinstance(found, Tensor)
        return found.detach().float().contiguous()

    def matrix(self, name: str) -> Weight:
        found = self.state[name]
        return found if isinstance(found, Weight) else weight_of(found)

    def joined(self, *names: str) -> tuple[Weight, ...]:
        """The matrices, in one where they are floats and small."""
        found = tuple(self.matrix(name) for name in names)
        total = sum(weight.data.numel() for weight in found)
        alike = {weight.format for weight in found} in ({"float32"}, {"bfloat16"})
        if not alike or total > JOINED:
            return found
        return (weight_of(torch.cat([weight.data for weight in found])),)

    def gated(self, name: str) -> GatedWeights:
        return GatedWeights(
            gate_up=self.joined(f"{name}.gate.weight", f"{name}.up.weight"),
            down=self.matrix(f"{name}.down.weight"),
        )

    def layer(self, index: int, shape: LayerConfig) -> LayerWeights:
        name = f"layers.{index}"
        parts = ("q", "k", "v") if shape.sliding else ("q", "k")
        return LayerWeights(
            qkv=self.joined(*(f"{name}.attention.{part}.weight" for part in parts)),
            o=self.matrix(f"{name}.attention.o.weight"),
            q_norm=self.numbers(f"{name}.attention.q_norm.weight"),
            k_norm=self.numbers(f"{name}.attention.k_norm.weight"),
            attention_in=self.numbers(f"{name}.attention_in.weight"),
            attention_out=self.numbers(f"{name}.attention_out.weight"),
            mlp=self.gated(f"{name}.mlp"),
            mlp_in=self.numbers(f"{name}.mlp_in.weight"),
            feedforward_out=self.numbers(f"{name}.feedforward_out.weight"),
            mixture=self.mixture(name) if self.config.experts is not None else None,
            encode_scalar=float(self.numbers(f"{name}.encode_scalar")),
            denoise_scalar=float(self.numbers(f"{name}.denoise_scalar")),
        )

    def mixture(self, name: str) -> MixtureWeights:
        gate, up, down = self.experts(f"{name}.experts")
        scale_D = self.numbers(f"{name}.router.scale") * self.config.hidden_size**-0.5
        return MixtureWeights(
            router=self.matrix(f"{name}.router.proj.weight").dequantised() * scale_D,
            router_in=scale_D,
            expert_scale=self.numbers(f"{name}.router.expert_scale"),
            gate=gate,
            up=up,
            down=down,
            norm_in=self.numbers(f"{name}.experts_in.weight"),
            mlp_out=self.numbers(f"{name}.mlp_out.weight"),
            experts_out=self.numbers(f"{name}.experts_out.weight"),
        )

    def experts(self, name: str) -> tuple[Sequence[Weight], Sequence[Weight], Sequence[Weight]]:
        if f"{name}.gate" in self.state:
            gate, up, down = (self.state[f"{name}.{part}"] for part in ("gate", "up", "down"))
            return list(gate), list(up), list(down)  # type: ignore[arg-type]
        gate_up_EJD, down_EDI = self.state[f"{name}.gate_up"], self.state[f"{name}.down"]
        assert isinstance(gate_up_EJD, Tensor)
        assert isinstance(down_EDI, Tensor)
        pairs = [gate_up_JD.chunk(2) for gate_up_JD in gate_up_EJD]
        return (
            [weight_of(gate_ID) for gate_ID, _ in pairs],
            [weight_of(up_ID) for _, up_ID in pairs],
            [weight_of(down_DI) for down_DI in down_EDI],
        )


def weight_of(tensor: object) -> Weight:
    """A float matrix as it is."""
    assert isinstance(tensor, Tensor)
    return Weight(FORMATS[tensor.dtype], tensor.detach())
