"""The same network for a small float32 model on a CPU: fewer and larger operations.

A tiny model spends its time between the matrix products, so here projections that read the same
input are one product, the weight of the norm before a product is part of its matrix, one norm
serves all readers of the residual, and rotary tables are kept while positions stay the same. It
equals `Transformer` up to float32 rounding, and holds a copy of the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.moe import Experts, Router
from canvaslm.model.rope import angles, inverse_frequencies
from canvaslm.model.transformer import Attend, GatedMLP, Layer, RMSNorm, Transformer

# B batch, N tokens, T = B * N, D hidden, H heads, G kv heads, d head, K experts per token

Turn = tuple[Tensor, Tensor]  # cosine [T, 1, d] and sine [T, 1, d / 2]

GELU_SLOPE = 2 * (2 / torch.pi) ** 0.5
GELU_CUBE = 0.044715 * GELU_SLOPE
SLOPE = torch.tensor(GELU_SLOPE)


def inverse_rms(x: Tensor, eps: Tensor) -> Tensor:
    """1 / rms of the last dimension, kept: [..., 1]."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.addcmul(eps, length, length, value=1 / x.shape[-1]).rsqrt_()


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
        self.top_k, self.expert_scale = router.top_k, router.expert_scale.detach()
        size = router.scale.shape[0]
        self.router = router.proj.weight.detach() * (router.scale.detach() * size**-0.5)
        gate_up_EID = experts.gate_up.detach() * scale
        self.gate_up = [gate_up_ID.t() for gate_up_ID in gate_up_EID]
        self.down = [down_DI.t() for down_DI in experts.down.detach()]

    def __call__(self, x_TD: Tensor) -> Tensor:
        # the chosen probabilities over their sum are the softmax of the chosen scores alone
        scores_TK, index_TK = F.linear(x_TD, self.router).topk(self.top_k)
        weights_TK = scores_TK.sub_(scores_TK[:, :1].clone()).exp_()
        weights_TK.div_(weights_TK.sum(dim=-1, keepdim=True)).mul_(self.expert_scale[index_TK])
        slots = index_TK.flatten()
        order = slots.argsort(stable=True)
        counts = torch.bincount(slots, minlength=len(self.down)).tolist()
        token = order // self.top_k
        hidden = gated(products(x_TD.index_select(0, token), self.gate_up, counts))
        hidden.mul_(weights_TK.view(-1, 1).index_select(0, order))
        return torch.zeros_like(x_TD).index_add_(0, token, products(hidden, self.down, counts))


def products(x_RD: Tensor, matrices: list[Tensor], counts: list[int]) -> Tensor:
    """Each run of rows times its own matrix, written into one tensor."""
    out = x_RD.new_empty(x_RD.shape[0], matrices[0].shape[1])
    rows, places = x_RD.split_with_sizes(counts), out.split_with_sizes(counts)
    for index, count in enumerate(counts):
        if count:
            torch.mm(rows[index], matrices[index], out=places[index])
    return out


class FusedLayer:
    """One layer; takes and gives the residual as [T, D]."""

    def __init__(self, layer: Layer, shape: LayerConfig, *, eps: Tensor) -> None:
        attention = layer.attention
        self.index, self.shape, self.eps = layer.index, shape, eps
        parts = [attention.q, attention.k] + ([attention.v] if attention.v is not None else [])
        joined = torch.cat([part.weight for part in parts]).detach()
        self.qkv = joined * weight_of(layer.attention_in)
        q_norm, k_norm = weight_of(attention.q_norm), weight_of(attention.k_norm)
        self.qk_norm = torch.cat(
            (q_norm.expand(shape.heads, -1), k_norm.expand(shape.kv_heads, -1))
        )
        self.o, self.attention_out = attention.o.weight.detach(), weight_of(layer.attention_out)
        self.mlp = FusedMLP(layer.mlp, weight_of(layer.mlp_in))
        self.experts: FusedExperts | None = None
        if layer.router is not None:
            experts_in = weight_of(layer.experts_in)
            self.experts = FusedExperts(layer.router, layer.experts, experts_in)
            self.mlp_out, self.experts_out = weight_of(layer.mlp_out), weight_of(layer.experts_out)
        self.feedforward_out = weight_of(layer.feedforward_out)
        encode, denoise = (layer.get_buffer(f"{mode}_scalar") for mode in ("encode", "denoise"))
        self.scalar = {True: float(encode), False: float(denoise)}

    def __call__(
        self, h_TD: Tensor, turn: Turn, attend: Attend, *, batch: int, causal: bool
    ) -> Tensor:
        q, k, v = self.project(h_TD * inverse_rms(h_TD, self.eps), turn, batch)
        mixed_BNHd = attend(self.index, q, k, v).transpose(1, 2)
        out_TD = F.linear(mixed_BNHd.reshape(len(h_TD), -1), self.o)
        out_TD.mul_(inverse_rms(out_TD, self.eps))
        h_TD = torch.addcmul(h_TD, out_TD, self.attention_out)
        fed_TD = self.feedforward(h_TD * inverse_rms(h_TD, self.eps))
        fed_TD.mul_(inverse_rms(fed_TD, self.eps))
        h_TD = torch.addcmul(h_TD, fed_TD, self.feedforward_out)
        return h_TD if self.scalar[causal] == 1 else h_TD.mul_(self.scalar[causal])

    def project(self, x_TD: Tensor, turn: Turn, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised q [B, H, N, d] and k, v [B, G, N, d]; q and k turned by position."""
        heads, kv_heads, size = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        raw = F.linear(x_TD, self.qkv).view(len(x_TD), -1, size)
        raw.mul_(inverse_rms(raw, self.eps))
        qk = raw[:, : heads + kv_heads] * self.qk_norm
        cos, sin = turn
        turned = qk * cos
        turned[..., : size // 2].addcmul_(qk[..., size // 2 :], sin, value=-1)
        turned[..., size // 2 :].addcmul_(qk[..., : size // 2], sin)
        q, k = turned[:, :heads], turned[:, heads:]
        v = raw[:, -kv_heads:]  # without a v projection these are the k heads
        q, k, v = (t.view(batch, -1, t.shape[1], size).transpose(1, 2) for t in (q, k, v))
        return q, k, v

    def feedforward(self, x_TD: Tensor) -> Tensor:
        dense = self.mlp(x_TD)
        if self.experts is None:
            return dense
        sparse = self.experts(x_TD)
        dense.mul_(inverse_rms(dense, self.eps)).mul_(self.mlp_out)
        return dense.addcmul_(sparse.mul_(inverse_rms(sparse, self.eps)), self.experts_out)


class Fused:
    """A `Network` made from a float32 `Transformer` on a CPU; later changes of that do not show."""

    def __init__(self, model: Transformer) -> None:
        self.config: ModelConfig = model.config
        self.embedding = model.embedding.detach()
        self.eps = torch.tensor(model.config.norm_eps)
        self.root = model.config.hidden_size**0.5
        self.layers = [
            FusedLayer(layer, shape, eps=self.eps)
            for layer, shape in zip(model.layers, model.config.layers, strict=True)
        ]
        self.norm = weight_of(model.norm)
        conditioning = model.self_conditioning
        self.conditioning = FusedMLP(conditioning.mlp, weight_of(conditioning.norm_in))
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
            h_TD += self.conditioning(soft_TD * inverse_rms(soft_TD, self.eps))
        h_TD.mul_(inverse_rms(h_TD, self.eps))
        return self.run(h_TD, positions_BL, attend, causal=False)

    def run(self, h_TD: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        turns, batch = self.turns(positions_BN), len(positions_BN)
        for layer in self.layers:
            h_TD = layer(h_TD, turns[layer.shape], attend, batch=batch, causal=causal)
        h_TD = h_TD * inverse_rms(h_TD, self.eps) * self.norm
        return h_TD.view(batch, -1, h_TD.shape[-1])

    def turns(self, positions_BN: Tensor) -> dict[LayerConfig, Turn]:
        """Cosines and sines for each shape of layer, made anew when another tensor comes."""
        if positions_BN is not self._positions:
            self._positions, self._turns = positions_BN, {}
            for shape in set(self.config.layers):
                cos, sin = angles(inverse_frequencies(shape), positions_BN)
                half_T1d = sin.flatten(0, 1)[..., : shape.head_dim // 2]
                self._turns[shape] = cos.flatten(0, 1), half_T1d.contiguous()
        return self._turns

    def embed(self, ids_BN: Tensor) -> Tensor:
        return F.embedding(ids_BN.flatten(), self.embedding).mul_(self.root)

    def unembed(self, h_BND: Tensor) -> Tensor:
        """See `Transformer.unembed`."""
        logits, cap = F.linear(h_BND, self.embedding), self.config.softcap
        return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)

    def blend(self, p_BLV: Tensor) -> Tensor:
        """See `Transformer.blend`."""
        return (p_BLV @ self.embedding).mul_(self.root)
