"""The DiffusionGemma network: one set of weights that encodes causally and denoises both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.moe import Experts, Router
from canvaslm.model.rope import angles, inverse_frequencies, rotate

# B batch, N tokens (L when they are a canvas), D hidden, V vocabulary, H heads, G kv heads, d head


class Attend(Protocol):
    """What a layer's queries may look at: the mode of the network is this object, not an `if`.

    Called once per layer with q [B, H, N, d] and this layer's own k, v [B, G, N, d]; returns
    [B, H, N, d]. Scores are not scaled: q and k are normalised, the scale is 1.
    """

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor: ...


class RMSNorm(nn.Module):
    """x / rms(x), computed in float32, times a weight unless `weightless`."""

    def __init__(self, size: int, *, eps: float, weightless: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.weight = None if weightless else nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.float()
        return F.rms_norm(x.float(), x.shape[-1:], weight, self.eps).to(x.dtype)


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x))."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.gate(x), approximate="tanh") * self.up(x))


class Attention(nn.Module):
    """Grouped-query attention with normalised q, k and v; V of full layers is the K projection."""

    def __init__(self, hidden_size: int, layer: LayerConfig, *, eps: float) -> None:
        super().__init__()
        self.head_dim = layer.head_dim
        self.q = nn.Linear(hidden_size, layer.heads * layer.head_dim, bias=False)
        self.k = nn.Linear(hidden_size, layer.kv_heads * layer.head_dim, bias=False)
        self.v = (
            nn.Linear(hidden_size, layer.kv_heads * layer.head_dim, bias=False)
            if layer.sliding
            else None
        )
        self.o = nn.Linear(layer.heads * layer.head_dim, hidden_size, bias=False)
        self.q_norm = RMSNorm(layer.head_dim, eps=eps)
        self.k_norm = RMSNorm(layer.head_dim, eps=eps)
        self.v_norm = RMSNorm(layer.head_dim, eps=eps, weightless=True)

    def forward(self, x_BND: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, H, N, d] and k, v [B, G, N, d]: normalised, q and k turned by position."""
        heads = (*x_BND.shape[:2], -1, self.head_dim)
        q, k = self.q(x_BND).view(heads), self.k(x_BND).view(heads)
        v = k if self.v is None else self.v(x_BND).view(heads)
        q = rotate(self.q_norm(q), cos, sin).transpose(1, 2)
        k = rotate(self.k_norm(k), cos, sin).transpose(1, 2)
        return q, k, self.v_norm(v).transpose(1, 2)


class Layer(nn.Module):
    """Attention, then a dense MLP and a mixture of experts side by side; norms around each."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.norm_eps
        self.index = index
        self.attention = Attention(size, config.layers[index], eps=eps)
        self.mlp = GatedMLP(size, config.intermediate_size)
        self.attention_in = RMSNorm(size, eps=eps)
        self.attention_out = RMSNorm(size, eps=eps)
        self.mlp_in = RMSNorm(size, eps=eps)
        self.feedforward_out = RMSNorm(size, eps=eps)
        self.register_buffer("denoise_scalar", torch.ones(1))
        self.register_buffer("encode_scalar", torch.ones(1))
        self.router: Router | None = None
        if config.experts is not None:
            self.router = Router(size, config.experts, eps=eps)
            self.experts = Experts(size, config.experts)
            self.experts_in = RMSNorm(size, eps=eps)
            self.mlp_out = RMSNorm(size, eps=eps)
            self.experts_out = RMSNorm(size, eps=eps)

    def forward(
        self, h_BND: Tensor, cos: Tensor, sin: Tensor, attend: Attend, scalar: Tensor
    ) -> Tensor:
        q, k, v = self.before(h_BND, cos, sin)
        return self.after(h_BND, attend(self.index, q, k, v), scalar)

    def before(self, h_BND: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What attention needs: q, k and v of the normed residual."""
        return self.attention(self.attention_in(h_BND), cos, sin)

    def after(self, h_BND: Tensor, mixed_BHNd: Tensor, scalar: Tensor) -> Tensor:
        """What follows attention: output projection, feed-forward, layer scalar."""
        mixed_BND = self.attention.o(mixed_BHNd.transpose(1, 2).flatten(2))
        h_BND = h_BND + self.attention_out(mixed_BND)
        return (h_BND + self.feedforward_out(self.feedforward(h_BND))) * scalar

    def feedforward(self, h_BND: Tensor) -> Tensor:
        dense = self.mlp(self.mlp_in(h_BND))
        if self.router is None:
            return dense
        h_TD = h_BND.flatten(0, 1)  # the router reads the residual itself, the experts its norm
        sparse = self.experts(self.experts_in(h_TD), *self.router(h_TD)).view_as(h_BND)
        return self.mlp_out(dense) + self.experts_out(sparse)


class SelfConditioning(nn.Module):
    """Adds what the last step believed: rms(embedding + mlp(norm(soft)))."""

    def __init__(self, hidden_size: int, intermediate_size: int, *, eps: float) -> None:
        super().__init__()
        self.norm_in = RMSNorm(hidden_size, eps=eps)
        self.mlp = GatedMLP(hidden_size, intermediate_size)
        self.norm_out = RMSNorm(hidden_size, eps=eps, weightless=True)

    def forward(self, embedded_BLD: Tensor, soft_BLD: Tensor) -> Tensor:
        return self.norm_out(embedded_BLD + self.mlp(self.norm_in(soft_BLD)))


class Transformer(nn.Module):
    """The network. It knows no checkpoint names, no cache and no sampler.

    `encode` and `denoise` take ids [B, N], absolute positions [B, N] and an `Attend`, and return
    hidden states [B, N, D]; `unembed` turns those into soft-capped float32 logits [B, N, V].
    """

    head: ClassVar[None] = None
    rows_stand_alone: ClassVar[bool] = False  # a product of few rows may be summed in another order

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, eps = config.hidden_size, config.norm_eps
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, size))
        self.layers: Sequence[Layer] = nn.ModuleList(  # type: ignore[assignment]
            Layer(config, i) for i in range(len(config.layers))
        )
        self.norm = RMSNorm(size, eps=eps)
        self.self_conditioning = SelfConditioning(size, config.intermediate_size, eps=eps)

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def writer(self) -> object:
        return self

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        """Causal mode: plain embeddings; what `attend` does with k and v makes the prefix."""
        return self.run(self.embed(ids_BN), positions_BN, attend, causal=True)

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        """Bidirectional mode over a canvas; `soft` is the last step's soft embedding, or None."""
        embedded = self.embed(ids_BL)
        soft = torch.zeros_like(embedded) if soft_BLD is None else soft_BLD
        return self.run(self.self_conditioning(embedded, soft), positions_BL, attend, causal=False)

    def run(self, h_BND: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        turns: dict[LayerConfig, tuple[Tensor, Tensor]] = {}
        for layer, shape in zip(self.layers, self.config.layers, strict=True):
            if shape not in turns:
                inverse_F = inverse_frequencies(shape).to(h_BND.device)
                cos, sin = angles(inverse_F, positions_BN)
                turns[shape] = cos.to(h_BND.dtype), sin.to(h_BND.dtype)
            scalar = layer.encode_scalar if causal else layer.denoise_scalar
            h_BND = layer(h_BND, *turns[shape], attend, scalar)
        return self.norm(h_BND)

    def embed(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.embedding) * self.scale

    def unembed(self, h_BND: Tensor) -> Tensor:
        """float32 logits [B, N, V], squashed into (-softcap, softcap)."""
        logits = F.linear(h_BND, self.embedding).float()
        cap = self.config.softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def soften(self, logits_BLV: Tensor) -> Tensor:
        """The soft embedding softmax(logits) @ E * sqrt(D): [B, L, D]."""
        return self.blend(logits_BLV.softmax(dim=-1, dtype=torch.float32))

    def blend(self, p_BLV: Tensor) -> Tensor:
        """The same of probabilities, float32: [B, L, D]."""
        p_TV = p_BLV.to(self.embedding.dtype).flatten(0, -2)  # a batched product copies the table
        return (p_TV @ self.embedding * self.scale).view(*p_BLV.shape[:-1], -1)

    def score_bounds(self) -> tuple[float, ...]:
        """What |q k| of each layer cannot exceed: both have an rms of 1 before their weights."""
        bounds = []
        for layer, shape in zip(self.layers, self.config.layers, strict=True):
            q, k = layer.attention.q_norm.weight, layer.attention.k_norm.weight
            assert q is not None
            assert k is not None
            largest = q.detach().abs().max() * k.detach().abs().max()
            bounds.append(shape.head_dim * float(largest))
        return tuple(bounds)

    @property
    def scale(self) -> Tensor:
        root = torch.tensor(self.config.hidden_size**0.5, dtype=self.embedding.dtype)
        return root.to(self.embedding.device)
