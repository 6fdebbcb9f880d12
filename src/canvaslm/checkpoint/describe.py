"""ModelConfig to config.json in the released spelling, and the published generation settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from canvaslm.checkpoint.config import (
    DEFAULT_WINDOW,
    FULL,
    MODEL_TYPE,
    SLIDING,
    TEXT_MODEL_TYPE,
    read_config,
)
from canvaslm.errors import ConfigError
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig

LAYER_SPELLINGS = ("per_layer_config", "global_head_dim", "num_global_key_value_heads")
IMAGE_IDS = {"boi_token_id": 255_999, "eoi_token_id": 258_882, "image_token_id": 258_880}


def describe_config(config: ModelConfig, *, base: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The config.json of `config`: whatever `base` says beyond the network is kept.

    `base` is the config.json it came from, or at least {"vision_config": ...}. `dtype` is the
    name of the weights' type, such as "bfloat16". Raises ConfigError for a network that
    config.json cannot express.
    """
    raw = copy.deepcopy(dict(base))
    if "text_config" not in raw or read_config(raw) != config:
        text = {k: v for k, v in raw.get("text_config", {}).items() if k not in LAYER_SPELLINGS}
        raw = {"initializer_range": 0.02, **image_ids(config), **raw}
        raw |= {
            "architectures": ["DiffusionGemmaForBlockDiffusion"],
            "model_type": MODEL_TYPE,
            "canvas_length": config.canvas_length,
            "eos_token_id": list(config.eos_ids),
            "tie_word_embeddings": True,
            "text_config": text | describe_text(config),
        }
    raw.pop("torch_dtype", None)
    raw.pop("quantization_config", None)  # the tensors of this network are floats
    raw["dtype"] = dtype
    if "dtype" in raw["text_config"]:
        raw["text_config"]["dtype"] = dtype
    return raw


def describe_text(config: ModelConfig) -> dict[str, Any]:
    experts = config.experts
    return describe_layers(config.layers) | {
        "model_type": TEXT_MODEL_TYPE,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_experts": experts and experts.count,
        "top_k_experts": experts and experts.top_k,
        "moe_intermediate_size": experts and experts.intermediate_size,
        "rms_norm_eps": config.norm_eps,
        "final_logit_softcapping": config.softcap,
        "max_position_embeddings": config.max_positions,
        "pad_token_id": config.pad_id,
        "bos_token_id": config.bos_id,
        "eos_token_id": config.eos_ids[0] if config.eos_ids else None,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "use_bidirectional_attention": "vision",
    }


def describe_layers(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
    """The geometry, with `global_*` keys where all full layers are alike, else layer by layer."""
    if layers[-1].sliding:
        raise ConfigError("config.json cannot express a last layer that is not full attention")
    sliding = [layer for layer in layers if layer.sliding]
    full = [layer for layer in layers if not layer.sliding]
    base = sliding[0] if sliding else full[0]
    ropes = {FULL: describe_rope(shared(full, "rope"))}
    if sliding:
        ropes[SLIDING] = describe_rope(shared(sliding, "rope"))
    text = {
        "num_hidden_layers": len(layers),
        "num_attention_heads": shared(list(layers), "heads"),
        "num_key_value_heads": base.kv_heads,
        "head_dim": base.head_dim,
        "layer_types": [SLIDING if layer.sliding else FULL for layer in layers],
        "sliding_window": shared(sliding, "window") if sliding else DEFAULT_WINDOW,
        "rope_parameters": ropes,
    }
    if len(set(sliding)) <= 1 and len(set(full)) == 1:
        return text | {
            "global_head_dim": full[0].head_dim,
            "num_global_key_value_heads": full[0].kv_heads,
        }
    return text | {
        "per_layer_config": {
            str(i): {"head_dim": layer.head_dim, "num_key_value_heads": layer.kv_heads}
            for i, layer in enumerate(layers)
        }
    }


def describe_rope(rope: RopeConfig) -> dict[str, Any]:
    described: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.kind == "proportional":
        described["partial_rotary_factor"] = rope.partial
    return described


def shared(layers: list[LayerConfig], name: str) -> Any:
    values = {getattr(layer, name) for layer in layers}
    if len(values) > 1:
        raise ConfigError(
            f"config.json can express one {name} for all layers of a kind, got "
            f"{sorted(map(str, values))}"
        )
    return values.pop()


def image_ids(config: ModelConfig) -> dict[str, int]:
    """The released image token ids, or -1 where the vocabulary is too small to hold them.

    Not null: transformers' generate compares every prompt token with `image_token_id`.
    """
    return {name: i if i < config.vocab_size else -1 for name, i in IMAGE_IDS.items()}


def published_generation(config: ModelConfig) -> dict[str, Any]:
    """generation_config.json of the release, with this model's own end and padding tokens."""
    return {
        "max_new_tokens": 256,
        "max_denoising_steps": 48,
        "t_max": 0.8,
        "t_min": 0.4,
        "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
        "stability_threshold": 1,
        "confidence_threshold": 0.005,
        "bos_token_id": config.bos_id,
        "eos_token_id": list(config.eos_ids),
        "pad_token_id": config.pad_id,
    }
