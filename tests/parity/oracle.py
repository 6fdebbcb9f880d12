"""transformers' DiffusionGemma as the oracle: random configurations, weights and requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DynamicCache,
)
from transformers.utils import logging

from canvaslm.checkpoint.vision import SMALLEST_VISION

VOCABULARY = 40


@st.composite
def text_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A text_config in either spelling; every sub-feature the released code has may appear."""
    heads, (kv, full_kv) = draw(
        st.sampled_from(
            [(1, (1, 1)), (2, (1, 2)), (4, (2, 1)), (4, (4, 2)), (6, (3, 2))],
        )
    )
    kinds = draw(st.lists(st.sampled_from(["sliding_attention", "full_attention"]), max_size=3))
    kinds.append("full_attention")
    experts = draw(st.integers(2, 6))
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": draw(st.sampled_from([16, 24, 40])),
        "intermediate_size": draw(st.sampled_from([8, 24])),
        "num_hidden_layers": len(kinds),
        "layer_types": kinds,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": draw(st.sampled_from([4, 8])),
        "sliding_window": draw(st.sampled_from([2, 5, 64])),
        "num_experts": experts,
        "top_k_experts": draw(st.integers(1, experts)),
        "moe_intermediate_size": draw(st.sampled_from([8, 12])),
        "rope_parameters": {
            "sliding_attention": draw(ropes()),
            "full_attention": draw(ropes()),
        },
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-3])),
        "final_logit_softcapping": draw(st.sampled_from([30.0, 2.0])),
        "use_bidirectional_attention": draw(st.sampled_from(["vision", None])),
        "max_position_embeddings": 512,
    }
    head_dim = draw(st.sampled_from([4, 16]))
    if draw(st.booleans()):
        return text | {"global_head_dim": head_dim, "num_global_key_value_heads": full_kv}
    shape = {"head_dim": head_dim, "num_key_value_heads": full_kv}
    full = [i for i, kind in enumerate(kinds) if kind == "full_attention"]
    return text | {"per_layer_config": {str(i): shape for i in full}}


@st.composite
def ropes(draw: st.DrawFn) -> dict[str, Any]:
    rope = {"rope_theta": draw(st.sampled_from([100.0, 1e4, 1e6]))}
    if draw(st.booleans()):
        return rope | {"rope_type": "default"}
    partial = draw(st.sampled_from([0.25, 0.5, 1.0]))
    return rope | {"rope_type": "proportional", "partial_rotary_factor": partial}


@dataclass(frozen=True)
class Request:
    """Prompts of several lengths, encoded in two pieces, and a canvas after each."""

    prompts: list[list[int]]
    cut: int  # tokens of the shortest prompt that come in the first piece
    canvas_BL: Tensor
    previous_BLV: Tensor | None  # the last step's logits: the self-conditioning signal


@st.composite
def requests(draw: st.DrawFn) -> Request:
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    prompts = [torch.randint(VOCABULARY, (n,), generator=generator).tolist() for n in lengths]
    size = (len(lengths), draw(st.sampled_from([1, 4, 9])))
    return Request(
        prompts=prompts,
        cut=draw(st.integers(0, min(lengths) - 1)),
        canvas_BL=torch.randint(VOCABULARY, size, generator=generator),
        previous_BLV=draw(st.sampled_from([None, 3.0]))
        and 3.0 * torch.randn(*size, VOCABULARY, generator=generator),
    )


def oracle_model(text: Mapping[str, Any], *, seed: int = 0, **top: Any) -> Any:
    """The oracle's model, with weights that leave nothing at 0 or 1, so nothing can hide."""
    config = DiffusionGemmaConfig(
        text_config=dict(text), vision_config=dict(SMALLEST_VISION), **top
    )
    model = DiffusionGemmaForBlockDiffusion(config).eval()
    model.set_experts_implementation("eager")  # the plain definition; kernels refuse tiny bfloat16
    generator = torch.Generator().manual_seed(seed)
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, tensor in state.items():
            if name.endswith("layer_scalar"):
                tensor.copy_(0.6 + 0.8 * torch.rand(1, generator=generator))
            elif tensor.dim() == 1 and not name.endswith("inv_freq"):
                tensor.copy_(1 + 0.3 * torch.randn(tensor.shape, generator=generator))
            elif tensor.dim() > 1:
                deviation = tensor.shape[-1] ** -0.5
                tensor.copy_(deviation * torch.randn(tensor.shape, generator=generator))
    return model


@dataclass(frozen=True)
class Answer:
    """What a request gives, row by row: K/V per layer, prompt logits, canvas logits."""

    keys: list[list[Tensor]]  # [row][layer] -> [G, tokens kept, d]
    values: list[list[Tensor]]
    causal: list[Tensor]  # [row] -> [tokens, V]
    canvas: Tensor  # [B, L, V]


@torch.no_grad()
def ask_oracle(model: Any, request: Request) -> Answer:
    """The oracle's answer: prompts padded on the left, in two pieces, with attention masks."""
    lengths = [len(prompt) for prompt in request.prompts]
    longest, size = max(lengths), request.canvas_BL.shape[1]
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in request.prompts])
    mask = torch.tensor([[0] * (longest - n) + [1] * n for n in lengths])
    place = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.get_text_config())
    hidden = []
    cut = longest - min(lengths) + request.cut
    for a, b in ((0, cut), (cut, longest)) if cut else ((0, longest),):
        encoded = model.model.encoder(
            input_ids=ids[:, a:b],
            attention_mask=mask[:, :b],
            position_ids=place[:, a:b],
            past_key_values=cache,
        )
        hidden.append(encoded.last_hidden_state)
    canvas_mask = torch.cat((mask, torch.ones(len(ids), size, dtype=mask.dtype)), dim=1)
    output = model(
        past_key_values=cache,
        decoder_input_ids=request.canvas_BL,
        self_conditioning_logits=request.previous_BLV,
        decoder_attention_mask=canvas_mask,
        decoder_position_ids=torch.tensor(lengths)[:, None] + torch.arange(size),
    )
    cap = model.final_logit_softcapping
    causal = torch.tanh(model.lm_head(torch.cat(hidden, dim=1)).float() / cap) * cap

    def kept(tensor: Tensor, row: int) -> Tensor:
        return tensor[row, :, -min(lengths[row], tensor.shape[2]) :]

    rows = range(len(lengths))
    return Answer(
        keys=[[kept(layer.keys, row) for layer in cache.layers] for row in rows],
        values=[[kept(layer.values, row) for layer in cache.layers] for row in rows],
        causal=[causal[row, longest - lengths[row] :] for row in rows],
        canvas=output.logits,
    )


def save_oracle(model: Any, folder: Path, **options: Any) -> Path:
    logging.disable_progress_bar()
    model.save_pretrained(folder, **options)
    return folder
