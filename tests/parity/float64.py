"""The published maths written once more in float64: what rounding errors are measured against."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.checkpoint import Checkpoint
from canvaslm.model.config import ModelConfig

# N tokens of one request, P keys, D hidden, H heads, G kv heads, d head size


class Float64:
    """One request at a time, straight from a checkpoint's tensors by their released names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config: ModelConfig = checkpoint.config
        cpu = torch.device("cpu")
        self.w: Mapping[str, Tensor] = {
            name: tensor.load(dtype=torch.float64, device=cpu)
            for name, tensor in checkpoint.tensors.items()
        }
        self.embedding = self.w["model.decoder.embed_tokens.weight"]
        self.kv: list[tuple[Tensor, Tensor]] = []

    def rms(self, x: Tensor, weight: str | None = None) -> Tensor:
        normed = x / (x.pow(2).mean(-1, keepdim=True) + self.config.norm_eps).sqrt()
        return normed if weight is None else normed * self.w[f"{weight}.weight"]

    def mlp(self, x: Tensor, name: str) -> Tensor:
        gate, up = (x @ self.w[f"{name}.{part}_proj.weight"].T for part in ("gate", "up"))
        return (F.gelu(gate, approximate="tanh") * up) @ self.w[f"{name}.down_proj.weight"].T

    def embed(self, ids: list[int]) -> Tensor:
        return self.embedding[ids] * self.config.hidden_size**0.5

    def logits(self, h: Tensor) -> Tensor:
        logits = self.rms(h, "model.decoder.norm") @ self.embedding.T
        cap = self.config.softcap
        return logits if cap is None else cap * (logits / cap).tanh()

    def encode(self, ids: list[int]) -> Tensor:
        """Causal logits [N, V]; K/V of the whole prompt stay in `kv`."""
        self.kv = []
        return self.logits(self.run(self.embed(ids), start=0, causal=True))

    def denoise(self, canvas: list[int], previous: Tensor | None) -> Tensor:
        """Canvas logits [L, V] after the encoded prompt."""
        x, name = self.embed(canvas), "model.decoder.self_conditioning"
        soft = torch.zeros_like(x)
        if previous is not None:
            soft = previous.double().softmax(-1) @ self.embedding * self.config.hidden_size**0.5
        x = self.rms(x + self.mlp(self.rms(soft, f"{name}.pre_norm"), name))
        return self.logits(self.run(x, start=self.kv[0][0].shape[1], causal=False))

    def run(self, h: Tensor, *, start: int, causal: bool) -> Tensor:
        for i in range(len(self.config.layers)):
            name = f"model.decoder.layers.{i}"
            x = self.rms(h, f"{name}.input_layernorm")
            mixed = self.attention(x, i, start=start, causal=causal)
            h = h + self.rms(mixed, f"{name}.post_attention_layernorm")
            fed = self.feedforward(h, name)
            h = h + self.rms(fed, f"{name}.post_feedforward_layernorm")
            mode = "encoder.language_model" if causal else "decoder"
            h = h * self.w[f"model.{mode}.layers.{i}.layer_scalar"]
        return h

    def attention(self, x: Tensor, i: int, *, start: int, causal: bool) -> Tensor:
        layer, name = self.config.layers[i], f"model.decoder.layers.{i}.self_attn"
        q, k = (
            (x @ self.w[f"{name}.{part}_proj.weight"].T).view(len(x), -1, layer.head_dim)
            for part in ("q", "k")
        )
        v = k
        if layer.sliding:
            v = (x @ self.w[f"{name}.v_proj.weight"].T).view(len(x), -1, layer.head_dim)
        q = self.turn(self.rms(q, f"{name}.q_norm"), i, start).transpose(0, 1)  # [H, N, d]
        k = self.turn(self.rms(k, f"{name}.k_norm"), i, start).transpose(0, 1)  # [G, N, d]
        v = self.rms(v).transpose(0, 1)
        query, key = torch.arange(len(x)) + start, torch.arange(start + len(x))
        if causal:
            self.kv.append((k, v))
            gap = query[:, None] - key
            seen = (gap >= 0) & (gap < (layer.window or len(x) + 1))
        else:
            k, v = (torch.cat(pair, dim=1) for pair in zip(self.kv[i], (k, v), strict=True))
            seen = (key > start - (layer.window or start + 1)).expand(len(x), -1)
        k, v = (t.repeat_interleave(layer.heads // layer.kv_heads, dim=0) for t in (k, v))
        shares = (q @ k.transpose(1, 2)).masked_fill(~seen, float("-inf")).softmax(-1)
        return (shares @ v).transpose(0, 1).flatten(1) @ self.w[f"{name}.o_proj.weight"].T

    def turn(self, x: Tensor, i: int, start: int) -> Tensor:
        """Pair j of a head is (j, j + d/2); it turns by position / theta^(2j/d), or not at all."""
        rope, half = self.config.layers[i].rope, x.shape[-1] // 2
        step = rope.theta ** (-torch.arange(half, dtype=torch.float64) / half)
        step[int(half * rope.partial) :] = 0
        angle = ((torch.arange(len(x)) + start)[:, None] * step)[:, None, :]
        pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(
            torch.ones_like(angle), angle
        )
        return torch.cat((pairs.real, pairs.imag), dim=-1)

    def feedforward(self, h: Tensor, name: str) -> Tensor:
        dense = self.mlp(self.rms(h, f"{name}.pre_feedforward_layernorm"), f"{name}.mlp")
        experts = self.config.experts
        if experts is None:
            return dense
        scaled = self.rms(h) * self.w[f"{name}.router.scale"] / self.config.hidden_size**0.5
        chances = (scaled @ self.w[f"{name}.router.proj.weight"].T).softmax(-1)
        top, chosen = chances.topk(experts.top_k)
        weights = (
            top / top.sum(-1, keepdim=True) * self.w[f"{name}.router.per_expert_scale"][chosen]
        )
        x = self.rms(h, f"{name}.pre_feedforward_layernorm_2")
        gate_up = self.w[f"{name}.experts.gate_up_proj"][chosen]  # [N, K, 2I, D]
        gate, up = (gate_up @ x[:, None, :, None]).squeeze(-1).chunk(2, dim=-1)
        inner = F.gelu(gate, approximate="tanh") * up
        down = self.w[f"{name}.experts.down_proj"][chosen]  # [N, K, D, I]
        sparse = ((down @ inner[..., None]).squeeze(-1) * weights[..., None]).sum(1)
        return self.rms(dense, f"{name}.post_feedforward_layernorm_1") + self.rms(
            sparse, f"{name}.post_feedforward_layernorm_2"
        )
