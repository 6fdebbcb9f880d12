"""The same network for a small float32 model on a CPU: fewer and larger operations.

A tiny model spends its time between the matrix products, so here projections that read the same
input are one product, the weight of the norm before a product is part of its matrix, one norm
serves all readers of the residual, and rotary tables are kept while positions stay the same. Norms
make rows of length 1; the sqrt(D) between that and an rms of 1 lies in the weight that follows. It
equals `Transformer` up to float32 rounding, and holds a copy of the weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.moe import Experts, Router
from canvaslm.model.rope import angles, inverse_frequencies
from canvaslm.model.transformer import Attend, GatedMLP, Layer, RMSNorm, Transformer

# B batch, N tokens, T = B * N, D hidden, H heads, G kv heads, d head, K experts per token

Turn = tuple[Tensor, Tensor]  # cosine [T, d] and sine [T, d / 2]

GELU_SLOPE = 2 * (2 / torch.pi) ** 0.5
GELU_CUBE = 0.044715 * GELU_SLOPE
SLOPE = torch.tensor(GELU_SLOPE)

ENOUGH = 16  # rows: with as many, MKL gives each the same bits however many more there are


def length(x: Tensor, floor: Tensor) -> Tensor:
    """sqrt(|x|^2 + floor^2) of the last dimension, kept [..., 1]; floor is sqrt(D eps)."""
    return torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), floor)


def gated(gate_up: Tensor) -> Tensor:
    """gelu(gate) * up of [T, 2 I], in tanh's form: x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).

    Five plain operations take half the time of torch's own.
    """
    gate, up = gate_up.chunk(2, dim=-1)
    return (
        torch.addcmul(SLOPE, gate, gate, value=GELU_CUBE).mul_(gate).sigmoid_().mul_(gate).mul_(up)
    )


def weight_of(norm: RMSNorm) -> Tensor:
    assert norm.weight is not None
    return norm.weight.detach()


def stretched(norm: RMSNorm) -> Tensor:
    """The norm's weight for rows of length 1: times sqrt(D)."""
    return weight_of(norm) * weight_of(norm).shape[0] ** 0.5


class FusedMLP:
    """down(gelu(gate(x)) * up(x)) with `scale`, the norm's weight before it, in the matrix."""

    def __init__(self, mlp: GatedMLP, scale: Tensor) -> None:
        self.gate_up = torch.cat((mlp.gate.weight, mlp.up.weight)).detach() * scale
        self.down = mlp.down.weight.detach()

    def __call__(self, x_TD: Tensor) -> Tensor:
        return F.linear(gated(F.linear(x_TD, self.gate_up)), self.down)


class FusedExperts:
    """Router and experts, both reading the residual normalised but not yet weighted."""

    def __init__(self, router: Router, experts: Experts, scale: Tensor) -> None:
        self.top_k = router.top_k
        self.router = router.proj.weight.detach() * router.scale.detach()  # its D^-0.5 is spent
        gate_up_EID = experts.gate_up.detach() * scale
        self.gate_up = [gate_up_ID.t() for gate_up_ID in gate_up_EID]
        down_EDI = experts.down.detach() * router.expert_scale.detach()[:, None, None]
        self.down = [down_DI.t() for down_DI in down_EDI]

    def __call__(self, x_TD: Tensor) -> Tensor:
        # the chosen probabilities over their sum are the softmax of the chosen scores alone
        scores_TK, index_TK = F.linear(x_TD, self.router).topk(self.top_k)
        weights_TK = scores_TK.sub(scores_TK[:, :1]).exp_()
        weights_TK.div_(weights_TK.sum(dim=-1, keepdim=True))
        slots = index_TK.flatten()
        order = slots.argsort(stable=True)
        counts = torch.bincount(slots, minlength=len(self.down)).tolist()
        token = order // self.top_k
        hidden = gated(products(x_TD.index_select(0, token), self.gate_up, counts))
        hidden.mul_(weights_TK.view(-1, 1).index_select(0, order))
        return torch.zeros_like(x_TD).index_add_(0, token, products(hidden, self.down, counts))


def products(x_RD: Tensor, matrices: list[Tensor], counts: list[int]) -> Tensor:
    """Each run of rows times its own matrix, written into one tensor.

    A product of few rows is summed in another order than one of many. So short runs are filled up,
    unless all are: what becomes of a row then does not depend on which others chose its expert.
    """
    out = x_RD.new_empty(x_RD.shape[0], matrices[0].shape[1])
    rows, places = x_RD.split_with_sizes(counts), out.split_with_sizes(counts)
    fill = x_RD.shape[0] >= ENOUGH
    for index, count in enumerate(counts):
        if 0 < count < ENOUGH and fill:
            filled_RD = F.pad(rows[index], (0, 0, 0, ENOUGH - count))
            places[index].copy_(torch.mm(filled_RD, matrices[index])[:count])
        elif count:
            torch.mm(rows[index], matrices[index], out=places[index])
    return out


class FusedLayer:
    """One layer; takes and gives the residual as [T, D]."""

    def __init__(self, layer: Layer, shape: LayerConfig, *, eps: float) -> None:
        attention = layer.attention
        self.index, self.shape = layer.index, shape
        self.floor = torch.tensor((attention.o.out_features * eps) ** 0.5)
        self.head_floor = torch.tensor((shape.head_dim * eps) ** 0.5)
        parts = [attention.q, attention.k] + ([attention.v] if attention.v is not None else [])
        joined = torch.cat([part.weight for part in parts]).detach()
        self.qkv = joined * stretched(layer.attention_in)
        self.root = shape.head_dim**0.5
        q_norm, k_norm = weight_of(attention.q_norm), weight_of(attention.k_norm)
        self.qk_norm = torch.cat(
            (q_norm.expand(shape.heads, -1), k_norm.expand(shape.kv_heads, -1))
        )
        self.o, self.attention_out = attention.o.weight.detach(), stretched(layer.attention_out)
        self.mlp = FusedMLP(layer.mlp, stretched(layer.mlp_in))
        self.experts: FusedExperts | None = None
        if layer.router is not None:
            experts_in = stretched(layer.experts_in)
            self.experts = FusedExperts(layer.router, layer.experts, experts_in)
            self.mlp_out, self.experts_out = stretched(layer.mlp_out), stretched(layer.experts_out)
        self.feedforward_out = stretched(layer.feedforward_out)
        encode, denoise = (layer.get_buffer(f"{mode}_scalar") for mode in ("encode", "denoise"))
        self.scalar = {True: float(encode), False: float(denoise)}

    def __call__(
        self, h_TD: Tensor, turn: Turn, attend: Attend, *, batch: int, causal: bool
    ) -> Tensor:
        floor = self.floor
        q, k, v = self.project(h_TD / length(h_TD, floor), turn, batch)
        mixed_BNHd = attend(self.index, q, k, v).transpose(1, 2)
        out_TD = F.linear(mixed_BNHd.reshape(h_TD.shape[0], -1), self.o)
        h_TD = torch.addcmul(h_TD, out_TD.div_(length(out_TD, floor)), self.attention_out)
        fed_TD = self.feedforward(h_TD / length(h_TD, floor))
        h_TD = torch.addcmul(h_TD, fed_TD.div_(length(fed_TD, floor)), self.feedforward_out)
        return h_TD if self.scalar[causal] == 1 else h_TD.mul_(self.scalar[causal])

    def project(self, x_TD: Tensor, turn: Turn, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised q [B, H, N, d] and k, v [B, G, N, d]; q and k turned by position.

        q and k are written head by head, so that attention reads them as they lie.
        """
        heads, kv_heads, size = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        raw = F.linear(x_TD, self.qkv).view(x_TD.shape[0], -1, size)
        raw.div_(length(raw, self.head_floor).div_(self.root))
        qk = (raw[:, : heads + kv_heads] * self.qk_norm).transpose(0, 1)
        cos, sin = turn
        turned = torch.mul(qk, cos, out=qk.new_empty(qk.shape))
        (first, second), (old_first, old_second) = turned.chunk(2, dim=-1), qk.chunk(2, dim=-1)
        first.addcmul_(old_second, sin, value=-1)
        second.addcmul_(old_first, sin)
        qk_BHNd = turned.view(heads + kv_heads, batch, -1, size).transpose(0, 1)
        q, k = qk_BHNd.split_with_sizes((heads, kv_heads), dim=1)
        # without a v projection the last heads are those of k
        v = raw.view(batch, -1, raw.shape[1], size).transpose(1, 2)[:, -kv_heads:]
        return q, k, v

    def feedforward(self, x_TD: Tensor) -> Tensor:
        dense = self.mlp(x_TD)
        if self.experts is None:
            return dense
        sparse = self.experts(x_TD)
        dense.div_(length(dense, self.floor)).mul_(self.mlp_out)
        return dense.addcmul_(sparse.div_(length(sparse, self.floor)), self.experts_out)


class Fused:
    """A `Network` made from a float32 `Transformer` on a CPU; later changes of that do not show."""

    head: ClassVar[None] = None

    def __init__(self, model: Transformer) -> None:
        self.config: ModelConfig = model.config
        self.embedding = model.embedding.detach()
        size, eps = model.config.hidden_size, model.config.norm_eps
        self.root, self.floor = size**0.5, torch.tensor((size * eps) ** 0.5)
        self.layers = [
            FusedLayer(layer, shape, eps=eps)
            for layer, shape in zip(model.layers, model.config.layers, strict=True)
        ]
        self.norm = stretched(model.norm)
        conditioning = model.self_conditioning
        self.conditioning = FusedMLP(conditioning.mlp, stretched(conditioning.norm_in))
        self._positions: Tensor | None = None
        self._turns: dict[LayerConfig, Turn] = {}

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        """See `Transformer.encode`."""
        return self.run(self.embed(ids_BN), positions_BN, attend, causal=True)

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        """See `Transformer.denoise`."""
        h_TD = self.embed(ids_BL)
        if soft_BLD is not None:  # a zero signal adds exactly nothing
            soft_TD = soft_BLD.flatten(0, 1)
            h_TD += self.conditioning(soft_TD / length(soft_TD, self.floor))
        h_TD.div_(length(h_TD, self.floor)).mul_(self.root)
        return self.run(h_TD, positions_BL, attend, causal=False)

    def run(self, h_TD: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        turns, batch = self.turns(positions_BN), len(positions_BN)
        for layer in self.layers:
            h_TD = layer(h_TD, turns[layer.shape], attend, batch=batch, causal=causal)
        h_TD = (h_TD / length(h_TD, self.floor)).mul_(self.norm)
        return h_TD.view(batch, -1, h_TD.shape[-1])

    def turns(self, positions_BN: Tensor) -> dict[LayerConfig, Turn]:
        """Cosines and sines for each shape of layer, made anew when another tensor comes."""
        if positions_BN is not self._positions:
            self._positions, self._turns = positions_BN, {}
            for shape in set(self.config.layers):
                cos, sin = angles(inverse_frequencies(shape), positions_BN)
                half_Td = sin.flatten(0, 2)[..., : shape.head_dim // 2]
                self._turns[shape] = cos.flatten(0, 2), half_Td.contiguous()
        return self._turns

    def embed(self, ids_BN: Tensor) -> Tensor:
        return F.embedding(ids_BN.flatten(), self.embedding).mul_(self.root)

    def unembed(self, h_BND: Tensor) -> Tensor:
        """See `Transformer.unembed`."""
        cap = self.config.softcap
        if cap is None:
            return F.linear(h_BND, self.embedding)
        return F.linear(h_BND / cap, self.embedding).tanh_().mul_(cap)

    def blend(self, p_BLV: Tensor) -> Tensor:
        """See `Transformer.blend`."""
        return (p_BLV @ self.embedding).mul_(self.root)
