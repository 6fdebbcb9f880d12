"""The network on named operations: weights as they lie in their file, rows rounded on the way in.

It says what is computed in which order; how is the affair of `canvaslm.kernels`. The residual
stream, the router, norms and logits are float32 whatever the weights are. With float32 weights it
equals `Transformer` up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from canvaslm.kernels.ops import Experts, Operations
from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.native_head import Head
from canvaslm.model.rope import inverse_frequencies
from canvaslm.model.transformer import Attend, Transformer
from canvaslm.model.weights import (
    KIND,
    GatedWeights,
    LayerWeights,
    NetworkWeights,
    weights_of,
)

# B batch, N tokens (L when they are a canvas), T = B * N, D hidden, V vocabulary, J heads joined,
# H heads, G kv heads, d head, R rows of the table

Turn = tuple[Tensor, Tensor]  # cosine and sine [T, d/2]

PIECE = 1 << 13  # rows of a rounded table that are widened at a time


class Native:
    """A `Network` whose weights are `Weight`s.

    `activations` is what rows are rounded to before a product with rounded weights: None for int8,
    or "bfloat16", slower and closer. Float weights have their own type.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: NetworkWeights,
        operations: Operations,
        *,
        activations: Kind | None = None,
    ) -> None:
        self.config, self.weights, self.operations = config, weights, operations
        self.activations = activations
        self.root = config.hidden_size**0.5
        self.layers = [
            Layer(self, i, layer, shape)
            for i, (layer, shape) in enumerate(zip(weights.layers, config.layers, strict=True))
        ]
        self.head = Head(
            operations,
            weights.embedding,
            kind=self.kind_for(weights.embedding),
            softcap=config.softcap,
            scale=self.root,
        )
        self._positions: Tensor | None = None
        self._turns: dict[LayerConfig, Turn] = {}
        self._widened: Tensor | None = None

    @classmethod
    def of(cls, model: Transformer, operations: Operations) -> Native:
        """The same network on views of its weights, float32 or bfloat16, on the CPU."""
        return cls(model.config, weights_of(model.config, model.state_dict()), operations)

    def kind_for(self, weight: Weight) -> Kind:
        """What rows are rounded to before they meet this weight."""
        own = KIND[weight.format]
        return self.activations if own == "int8" and self.activations else own

    @property
    def device(self) -> torch.device:
        return self.weights.embedding.data.device

    @property
    def writer(self) -> object:
        return self

    @property
    def rows_stand_alone(self) -> bool:
        """As the native kernels promise; torch's products, the reference, promise nothing."""
        return self.operations.name != "reference"

    @property
    def dtype(self) -> torch.dtype:
        """What K and V are kept in."""
        return torch.float32 if self.weights.embedding.format == "float32" else torch.bfloat16

    @property
    def embedding(self) -> Tensor:
        """[V, D]. A rounded table is widened to bfloat16 when this is first asked for."""
        table = self.weights.embedding
        if table.format in ("float32", "bfloat16"):
            return table.data
        if self._widened is None:
            rows, width = table.shape
            self._widened = torch.empty(rows, width, dtype=torch.bfloat16)
            for first in range(0, rows, PIECE):
                self._widened[first : first + PIECE] = rows_of(table, first).dequantised()
        return self._widened

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        """See `Transformer.encode`."""
        return self.run(self.embed(ids_BN), positions_BN, attend, causal=True)

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        """See `Transformer.denoise`."""
        operations, eps = self.operations, self.config.norm_eps
        h_TD = self.embed(ids_BL)
        if soft_BLD is not None:  # a zero signal adds exactly nothing
            conditioning = self.weights.conditioning
            soft_TD = soft_BLD.flatten(0, 1).float().contiguous()
            x = operations.norm(
                soft_TD,
                self.weights.conditioning_in,
                eps=eps,
                kind=self.kind_for(conditioning.gate_up[0]),
            )
            h_TD += self.gated(x, conditioning)
        h_TD = operations.normed(h_TD, None, eps=eps)
        return self.run(h_TD, positions_BL, attend, causal=False)

    def run(self, h_TD: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        turns, batch = self.turns(positions_BN), len(positions_BN)
        for layer in self.layers:
            layer(h_TD, turns[layer.shape], attend, batch=batch, causal=causal)
        h_TD = self.operations.normed(h_TD, self.weights.norm, eps=self.config.norm_eps)
        return h_TD.view(batch, -1, h_TD.shape[1])

    def gated(self, x: Rows, weights: GatedWeights) -> Tensor:
        """down(gelu(gate(x)) * up(x)): [T, D]."""
        operations = self.operations
        made = [operations.linear(x, weight) for weight in weights.gate_up]
        gate_TI, up_TI = made[0].chunk(2, dim=1) if len(made) == 1 else made
        kind = self.kind_for(weights.down)
        return operations.linear(operations.gate(gate_TI, up_TI, kind), weights.down)

    def turns(self, positions_BN: Tensor) -> dict[LayerConfig, Turn]:
        """Cosines and sines for each shape of layer, made anew when another tensor comes."""
        if positions_BN is not self._positions:
            self._positions, self._turns = positions_BN, {}
            for shape in set(self.config.layers):
                angle_Th = positions_BN.flatten()[:, None].float() * inverse_frequencies(shape)
                self._turns[shape] = angle_Th.cos(), angle_Th.sin()
        return self._turns

    def embed(self, ids_BN: Tensor) -> Tensor:
        ids_T = ids_BN.flatten().contiguous()
        return self.operations.embed(ids_T, self.weights.embedding, scale=self.root)

    def unembed(self, h_BND: Tensor) -> Tensor:
        """See `Transformer.unembed`."""
        logits_TV = self.head.logits(h_BND.flatten(0, 1))
        return logits_TV.view(*h_BND.shape[:2], -1)

    def blend(self, p_BLV: Tensor) -> Tensor:
        """See `Transformer.blend`; float32."""
        table, p_TV = self.weights.embedding, p_BLV.flatten(0, 1)
        if table.format in ("float32", "bfloat16"):
            soft_TD = (p_TV.to(table.data.dtype) @ table.data).float()
        else:
            soft_TD = p_TV.new_zeros(len(p_TV), table.shape[1])
            for first in range(0, table.shape[0], PIECE):
                part = rows_of(table, first).dequantised()
                soft_TD.addmm_(p_TV[:, first : first + PIECE], part)
        return soft_TD.mul_(self.root).view(*p_BLV.shape[:2], -1)


class Layer:
    """One layer; changes the residual [T, D] in place."""

    def __init__(
        self, network: Native, index: int, weights: LayerWeights, shape: LayerConfig
    ) -> None:
        self.network, self.operations = network, network.operations
        self.index, self.weights, self.shape = index, weights, shape
        self.eps, self.dtype = network.config.norm_eps, network.dtype
        self.experts: Experts | None = None
        if weights.mixture is not None:
            mixture = weights.mixture
            self.experts = self.operations.gather(mixture.gate, mixture.up, mixture.down)

    def __call__(
        self, h_TD: Tensor, turn: Turn, attend: Attend, *, batch: int, causal: bool
    ) -> None:
        operations, weights, eps = self.operations, self.weights, self.eps
        mixed_BHNd = attend(self.index, *self.project(h_TD, turn, batch))
        mixed_TJ = mixed_BHNd.transpose(1, 2).reshape(len(h_TD), -1).float()
        out_TD = operations.linear(
            operations.rows(mixed_TJ, self.network.kind_for(weights.o)), weights.o
        )
        operations.add_normed(h_TD, out_TD, weights.attention_out, eps=eps)
        scalar = weights.encode_scalar if causal else weights.denoise_scalar
        self.feedforward(h_TD, scalar)

    def project(self, h_TD: Tensor, turn: Turn, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, H, N, d] and k, v [B, G, N, d]: normalised, q and k turned by position."""
        weights, shape, (cos_Th, sin_Th) = self.weights, self.shape, turn
        kind = self.network.kind_for(weights.qkv[0])
        x = self.operations.norm(h_TD, weights.attention_in, eps=self.eps, kind=kind)
        q_TJ, k_TJ, *rest = self.split([self.operations.linear(x, w) for w in weights.qkv])
        parts = (shape.heads, shape.kv_heads, shape.kv_heads)
        made = torch.empty(sum(parts), len(h_TD), shape.head_dim, dtype=self.dtype)
        q, k, v = made.split_with_sizes(parts)
        self.operations.turn(
            q_TJ,
            k_TJ,
            rest[0] if rest else k_TJ,
            q_norm_d=weights.q_norm,
            k_norm_d=weights.k_norm,
            cos_Th=cos_Th,
            sin_Th=sin_Th,
            eps=self.eps,
            q_out_HTd=q,
            k_out_GTd=k,
            v_out_GTd=v,
        )
        joined_BXNd = made.view(len(made), batch, -1, shape.head_dim).transpose(0, 1)
        q_BHNd, k_BGNd, v_BGNd = joined_BXNd.split_with_sizes(parts, dim=1)
        return q_BHNd, k_BGNd, v_BGNd

    def split(self, made: list[Tensor]) -> tuple[Tensor, ...]:
        """q, k and, where there is one, v of the projections."""
        if len(made) > 1:
            return tuple(made)
        shape = self.shape
        parts = (shape.heads, shape.kv_heads) + ((shape.kv_heads,) if shape.sliding else ())
        return made[0].split_with_sizes([count * shape.head_dim for count in parts], dim=1)

    def feedforward(self, h_TD: Tensor, scalar: float) -> None:
        operations, eps, weights = self.operations, self.eps, self.weights
        kind = self.network.kind_for(weights.mlp.gate_up[0])
        x = operations.norm(h_TD, weights.mlp_in, eps=eps, kind=kind)
        dense_TD = self.network.gated(x, weights.mlp)
        mixture, experts = weights.mixture, self.experts
        if mixture is None or experts is None:
            out_D = weights.feedforward_out
            return operations.add_normed(h_TD, dense_TD, out_D, eps=eps, scalar=scalar)
        top_k = self.network.config.experts.top_k  # type: ignore[union-attr]
        weights_TX, index_TX = operations.route(
            h_TD, mixture.router, mixture.expert_scale, top_k=top_k, eps=eps
        )
        kind = self.network.kind_for(mixture.gate[0])
        x = operations.norm(h_TD, mixture.norm_in, eps=eps, kind=kind)
        sparse_TD = operations.experts(x, experts, weights_TX, index_TX)
        norms = (mixture.mlp_out, mixture.experts_out, weights.feedforward_out)
        operations.add_both(h_TD, dense_TD, sparse_TD, norms, eps=eps, scalar=scalar)
        return None


def rows_of(table: Weight, first: int) -> Weight:
    """PIECE rows of a table, as views."""
    scale = None if table.scale is None else table.scale[first : first + PIECE]
    return Weight(table.format, table.data[first : first + PIECE], scale)
