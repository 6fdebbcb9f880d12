"""A `Transformer` over rounded weights that are never changed: a base to train an adapter on.

A product widens its matrix for itself, on the way forward and again on the way back; nothing is
kept between but the rounded weight. So training needs little more memory for the base than its
files have, one widened matrix, and the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ModelConfig
from canvaslm.model.moe import Experts
from canvaslm.model.transformer import Transformer
from canvaslm.model.weights import State

# T tokens, D hidden, K inputs, N outputs, R rows of an expert


class Product(torch.autograd.Function):
    """x W^T of a weight that has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Weight) -> Tensor:
        ctx.weight = weight
        return F.linear(x, weight.dequantised().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grad_N,) = gradients
        return grad_N @ ctx.weight.dequantised().to(grad_N.dtype), None


def product(x: Tensor, weight: Weight) -> Tensor:
    made: Tensor = Product.apply(x, weight)  # type: ignore[no-untyped-call]
    return made


class RoundedLinear(nn.Module):
    """A linear map by a `Weight`."""

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        self.weight = weight

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> RoundedLinear:
        """What moves the network moves the weight, which keeps its type."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        (self.weight,) = moved([self.weight], place_of(fn, self.weight))
        return self

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight)


class RoundedExperts(Experts):
    """A mixture by `Weight`s, one of each for every expert."""

    def __init__(
        self, gate: Sequence[Weight], up: Sequence[Weight], down: Sequence[Weight]
    ) -> None:
        nn.Module.__init__(self)
        self.parts = list(zip(gate, up, down, strict=True))
        self.count = len(self.parts)

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> RoundedExperts:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.parts:
            place = place_of(fn, self.parts[0][0])
            self.parts = [
                (gate, up, down) for gate, up, down in (moved(part, place) for part in self.parts)
            ]
        return self

    def expert(self, index: int, x_RD: Tensor) -> Tensor:
        gate, up, down = self.parts[index]
        active = F.gelu(product(x_RD, gate), approximate="tanh") * product(x_RD, up)
        return product(active, down)


def frozen(
    config: ModelConfig,
    state: State,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
) -> Transformer:
    """A network over a state as `read_state` and `quantise_model` give it; nothing is trainable.

    What is rounded stays so, all else is of type `dtype`: norms, router, self-conditioning and the
    embedding, also where that is rounded.
    """
    with torch.device("meta"):
        model = Transformer(config)
    for name in list(dict(model.named_parameters())) + list(dict(model.named_buffers())):
        place, _, own = name.rpartition(".")
        if own == "gate_up" and name not in state:
            parts = (state[f"{place}.{part}"] for part in ("gate", "up", "down"))
            model.set_submodule(place, RoundedExperts(*(moved(part, device) for part in parts)))
        elif own == "down" and f"{place}.gate" in state:
            continue
        elif isinstance(found := state[name], Weight) and found.scale is not None and place:
            model.set_submodule(place, RoundedLinear(moved([found], device)[0]))
        else:
            put(model.get_submodule(place), own, widened(found).to(device, dtype))
    return model.eval()


def is_rounded(model: Transformer) -> bool:
    """Whether `frozen` made it, of a state in which something is rounded."""
    return any(isinstance(module, RoundedLinear | RoundedExperts) for module in model.modules())


def place_of(fn: Callable[..., Tensor], weight: Weight) -> torch.device:
    """Where what `nn.Module.to` applies takes a tensor that is where the weight is."""
    return fn(torch.empty(0, device=weight.data.device)).device


def put(module: nn.Module, name: str, value: Tensor) -> None:
    is_parameter = name in module._parameters
    setattr(module, name, nn.Parameter(value, requires_grad=False) if is_parameter else value)


def widened(found: object) -> Tensor:
    if isinstance(found, Weight):
        return found.data if found.scale is None else found.dequantised()
    assert isinstance(found, Tensor)
    return found.detach()


def moved(weights: object, device: torch.device | str) -> list[Weight]:
    """The same weights on a device; on their own they are not copied."""
    assert isinstance(weights, Sequence)
    return [
        replace(
            weight,
            data=weight.data.to(device),
            scale=None if weight.scale is None else weight.scale.to(device),
        )
        for weight in weights
    ]
