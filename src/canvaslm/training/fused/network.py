"""The network of model/transformer.py for training on a CPU: the same weights, fused operations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.training import Training
from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.rope import angles, inverse_frequencies
from canvaslm.model.transformer import Attend, Attention, GatedMLP, Layer, RMSNorm, Transformer
from canvaslm.training.attend import Recording
from canvaslm.training.fused import rows
from canvaslm.training.fused.record import Recorded

# B batch, N tokens (L when they are a canvas), T all of them, D hidden, V vocabulary, H heads,
# G kv heads, d head

Turned = tuple[Tensor, Tensor]
"""Cosine and sine [P, d / 2] of the positions of P tokens, which others repeat."""


class Fused:
    """`encode`, `denoise`, `unembed` and `soften` of `model`, with gradients to its weights.

    Linear layers are called as they are, whatever stands in their place; between them nothing is
    computed by PyTorch. Hidden states come in the kind of number of the products. Raises
    ParameterError for weights in float64.
    """

    def __init__(self, model: Transformer, native: Training) -> None:
        if model.embedding.dtype not in (torch.float32, torch.bfloat16):
            raise ParameterError(
                f"fused operations know float32 and bfloat16, not {model.embedding.dtype}: take "
                'way="plain"'
            )
        self.model, self.native = model, native
        self.eps = model.norm.eps

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def embedding(self) -> Tensor:
        return self.model.embedding

    def recording(self) -> Recording:
        """What `encode` attends by before canvases are denoised."""
        return Recorded(self.config, self.native)

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        return self.run(self.model.embed(ids_BN), positions_BN, attend, causal=True)

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        embedded_BLD = self.model.embed(ids_BL)
        soft_BLD = torch.zeros_like(embedded_BLD) if soft_BLD is None else soft_BLD
        conditioning = self.model.self_conditioning
        believed = self.mlp(conditioning.mlp, self.norm(soft_BLD, conditioning.norm_in))
        h_BLD = self.norm(embedded_BLD + believed, conditioning.norm_out, dtype=torch.float32)
        return self.run(h_BLD, positions_BL, attend, causal=False)

    def run(self, h_BND: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        """Each residual is added and normed for the next product in one go."""
        layers, turns = list(self.model.layers), self.turns(positions_BN)
        norms = [layer.attention_in for layer in layers] + [self.model.norm]
        x_BND = self.norm(h_BND, norms[0])
        for layer, shape, after in zip(layers, self.config.layers, norms[1:], strict=True):
            scalar = float(scalar_of(layer, causal=causal))
            q, k, v = self.heads(layer.attention, x_BND, turns[shape])
            mixed_BNJ = attend(layer.index, q, k, v).transpose(1, 2).flatten(2)
            part = layer.attention.o(mixed_BNJ)
            h_BND, x_BND = self.add(h_BND, part, layer.attention_out, layer.mlp_in)
            part = self.feedforward(layer, h_BND, x_BND)
            h_BND, x_BND = self.add(h_BND, part, layer.feedforward_out, after, scalar=scalar)
        return x_BND

    def turns(self, positions_BN: Tensor) -> dict[LayerConfig, Turned]:
        turns: dict[LayerConfig, Turned] = {}
        for shape in self.config.layers:
            if shape not in turns:
                both = angles(inverse_frequencies(shape), positions_BN)
                cos, sin = (x.flatten(0, 2)[:, : shape.head_dim // 2].contiguous() for x in both)
                turns[shape] = cos, sin
        return turns

    def heads(
        self, attention: Attention, x_BND: Tensor, turned: Turned
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, H, N, d] and k, v [B, G, N, d] as `Attention` makes them."""
        shape = (*x_BND.shape[:2], -1, attention.head_dim)
        q, k = attention.q(x_BND).view(shape), attention.k(x_BND).view(shape)
        v = k if attention.v is None else attention.v(x_BND).view(shape)
        parts = (q, attention.q_norm), (k, attention.k_norm), (v, attention.v_norm)
        q, k, v = (
            rows.turn(self.native, raw.contiguous(), weight_of(norm), turned, eps=self.eps)
            for raw, norm in parts
        )
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def feedforward(self, layer: Layer, h_BND: Tensor, x_BND: Tensor) -> Tensor:
        dense = self.mlp(layer.mlp, x_BND)
        if layer.router is None:
            return dense
        router, h_TD = layer.router, h_BND.flatten(0, 1)
        scale_D = router.scale.float() * h_TD.shape[-1] ** -0.5
        x_TD = rows.norm(self.native, h_TD, scale_D, eps=router.eps, dtype=dense.dtype)
        chosen = router.choose(router.proj(x_TD))
        sparse = layer.experts(self.norm(h_TD, layer.experts_in), *chosen).view_as(dense)
        both = self.norm(dense, layer.mlp_out) + self.norm(sparse, layer.experts_out)
        return both.to(dense.dtype)

    def mlp(self, mlp: GatedMLP, x_BND: Tensor) -> Tensor:
        gate, up = mlp.gate(x_BND), mlp.up(x_BND)
        made = rows.gate(self.native, gate.flatten(0, -2), up.flatten(0, -2))
        down: Tensor = mlp.down(made.view(gate.shape))
        return down

    def norm(self, h: Tensor, norm: RMSNorm, *, dtype: torch.dtype | None = None) -> Tensor:
        h_TD, weight_D = h.float().contiguous().flatten(0, -2), weight_of(norm)
        dtype = dtype or self.products
        return rows.norm(self.native, h_TD, weight_D, eps=norm.eps, dtype=dtype).view(h.shape)

    def add(
        self, h: Tensor, part: Tensor, inner: RMSNorm, after: RMSNorm, *, scalar: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """(h + inner(part)) * scalar, and what `after` makes of it."""
        sum_weight, weight = weight_of(inner), weight_of(after)
        assert sum_weight is not None
        assert weight is not None
        sum_TD, normed_TD = rows.add_normed(
            self.native,
            h.float().flatten(0, -2),
            part.contiguous().flatten(0, -2),
            (sum_weight, weight),
            eps=self.eps,
            scalar=scalar,
        )
        return sum_TD.view(h.shape), normed_TD.view(h.shape)

    def unembed(self, h_BND: Tensor) -> Tensor:
        """Capped float32 logits."""
        if torch.is_grad_enabled():
            return self.model.unembed(h_BND)
        logits = F.linear(h_BND, self.embedding)
        return self.native.cap(logits.flatten(0, -2), self.cap).view(logits.shape)

    def soften(self, logits_BLV: Tensor) -> Tensor:
        return self.model.soften(logits_BLV)

    def token_losses(self, hidden: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What `training.objective.token_losses` says."""
        logits = F.linear(hidden, self.embedding).flatten(0, -2).contiguous()
        return rows.cross_entropy(self.native, logits, target.flatten(), cap=self.cap)

    @property
    def products(self) -> torch.dtype:
        """What products are computed in: autocast's kind of number, or that of the weights."""
        if torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu")
        return self.embedding.dtype

    @property
    def cap(self) -> float:
        return self.config.softcap or 0.0


def scalar_of(layer: Layer, *, causal: bool) -> Tensor:
    scalar = layer.encode_scalar if causal else layer.denoise_scalar
    assert isinstance(scalar, Tensor)
    return scalar


def weight_of(norm: RMSNorm) -> Tensor | None:
    return None if norm.weight is None else norm.weight.float()
