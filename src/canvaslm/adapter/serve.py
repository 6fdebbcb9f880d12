"""An adapter served unmerged: the same weights, and operations whose products add B (A x).

A is kept in what the rows are rounded to, so it reads them as they are; B, which holds the scale,
is float32. Both go through the products of the base, so a row's bits depend on nothing but it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from canvaslm.adapter.adapter import Adapter, Pair, linears
from canvaslm.adapter.wear import wearing
from canvaslm.errors import ParameterError
from canvaslm.kernels.ops import Operations
from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ModelConfig
from canvaslm.model.native import Native
from canvaslm.model.network import Network
from canvaslm.model.transformer import Transformer
from canvaslm.model.weights import NetworkWeights
from canvaslm.quant.rounding import round_matrix

# T tokens, D hidden, E experts, N outputs, K inputs, r rank


@dataclass(frozen=True, eq=False)
class Thin:
    """A [r, K] and scale B [N, r], as the kernels read them."""

    a: Weight
    b: Weight


class AdaptedOperations:
    """Another's operations, but products with some weights add those of a thin pair."""

    def __init__(self, inner: Operations, thin: Mapping[Weight, Thin]) -> None:
        self.inner, self.thin = inner, thin
        self.name = inner.name

    @property
    def operations(self) -> Operations:
        return cast(Operations, self)

    def linear(self, x: Rows, weight: Weight) -> Tensor:
        y_TN = self.inner.linear(x, weight)
        thin = self.thin.get(weight)
        if thin is None:
            return y_TN
        low_Tr = self.inner.linear(x, thin.a)
        return y_TN.add_(self.inner.linear(self.inner.rows(low_Tr, "float32"), thin.b))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def adapted(network: Network, adapter: Adapter) -> Native | Transformer:
    """A network over the same weights, with an adapter on it.

    Raises TensorError for an adapter of another base, ParameterError for a network that has an
    adapter already or is not a model's own.
    """
    adapter.check(network.config)
    if isinstance(network, Transformer):
        return wearing(network, adapter)
    if not isinstance(network, Native) or isinstance(network.operations, AdaptedOperations):
        raise ParameterError(
            "an adapter goes on a model's own network, and this has one already or waits in line "
            "for another: take the plain model"
        )
    thin = thin_pairs(network, adapter)
    return Native(
        network.config,
        with_routers(network.weights, adapter),
        AdaptedOperations(network.operations, thin).operations,
        activations=network.activations,
    )


def thin_pairs(network: Native, adapter: Adapter) -> dict[Weight, Thin]:
    """The pairs of an adapter, by the weight that they go with."""
    shapes, made = linears(network.config), {}
    for weights, names in products(network.weights, network.config):
        groups = [(name,) for name in names] if len(weights) == len(names) else [names]
        for weight, group in zip(weights, groups, strict=True):
            if any(name in adapter.pairs for name in group):
                pair = stacked(adapter, group, shapes)
                kind = network.kind_for(weight)
                made[weight] = Thin(rounded(pair.a, kind), Weight("float32", pair.b))
    return made


Products = Iterator[tuple[tuple[Weight, ...], tuple[str, ...]]]


def products(weights: NetworkWeights, config: ModelConfig) -> Products:
    """Weights that read the same rows, with their names; where they are joined there is one."""
    gated = [("self_conditioning.mlp", weights.conditioning)]
    for index, (layer, shape) in enumerate(zip(weights.layers, config.layers, strict=True)):
        name = f"layers.{index}"
        parts = ("q", "k", "v") if shape.sliding else ("q", "k")
        yield layer.qkv, tuple(f"{name}.attention.{part}" for part in parts)
        yield (layer.o,), (f"{name}.attention.o",)
        gated.append((f"{name}.mlp", layer.mlp))
    for name, mlp in gated:
        yield mlp.gate_up, (f"{name}.gate", f"{name}.up")
        yield (mlp.down,), (f"{name}.down",)


def stacked(
    adapter: Adapter, names: tuple[str, ...], shapes: Mapping[str, tuple[int, int]]
) -> Pair:
    """The pair of matrices that are joined row by row: A's below each other, B's on a diagonal."""
    inputs = shapes[names[0]][1]
    nothing = torch.empty(0, inputs)
    pairs = [
        (pair.a.float(), pair.b.float() * adapter.config.scale)
        if (pair := adapter.pairs.get(name))
        else (nothing, torch.empty(shapes[name][0], 0))
        for name in names
    ]
    a = torch.cat([a for a, _ in pairs])
    b = torch.zeros(sum(len(b) for _, b in pairs), len(a))
    row = column = 0
    for _, block in pairs:
        b[row : (row := row + len(block)), column : (column := column + block.shape[1])] = block
    return Pair(a.contiguous(), b)


def rounded(a_rK: Tensor, kind: Kind) -> Weight:
    """A as a weight that rows of this kind go with."""
    if kind == "int8":
        return round_matrix(a_rK, "int8")[0]
    return Weight(kind, a_rK.to(getattr(torch, kind)))


def with_routers(weights: NetworkWeights, adapter: Adapter) -> NetworkWeights:
    """The same weights; routers, which are small and float32, are merged."""
    layers = list(weights.layers)
    for index, layer in enumerate(layers):
        pair = adapter.pairs.get(f"layers.{index}.router.proj")
        if pair is not None and layer.mixture is not None:
            change_ED = pair.product() * adapter.config.scale * layer.mixture.router_in
            router_ED = layer.mixture.router + change_ED
            layers[index] = replace(layer, mixture=replace(layer.mixture, router=router_ED))
    return replace(weights, layers=tuple(layers))
