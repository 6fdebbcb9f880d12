"""Keys of config.json: read, held to one value, or mere description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canvaslm.errors import ConfigError

# Read into the ModelConfig.
TOP_READ = {
    "model_type",
    "text_config",
    "canvas_length",
    "eos_token_id",
    "quantization_config",  # read by quantised_config.py
}
TEXT_READ = {
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "global_head_dim",
    "num_global_key_value_heads",
    "per_layer_config",
    "layer_types",
    "sliding_window",
    "rope_parameters",
    "rms_norm_eps",
    "final_logit_softcapping",
    "max_position_embeddings",
    "num_experts",
    "top_k_experts",
    "moe_intermediate_size",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
}

# The network knows one value of these (or a few that mean the same); any other changes the maths.
TOP_FIXED: dict[str, tuple[Any, ...]] = {"tie_word_embeddings": (True,)}
TEXT_FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("diffusion_gemma_text",),
    "tie_word_embeddings": (True,),
    "attention_bias": (False,),
    "hidden_activation": ("gelu_pytorch_tanh",),
    "use_bidirectional_attention": ("vision", None),  # the same for text
    "attention_k_eq_v": (True,),
    "hidden_size_per_layer_input": (0, None),
    "num_kv_shared_layers": (0, None),
    "use_double_wide_mlp": (False,),
}

# What a running text network never looks at; kept as it is.
DESCRIPTION = {
    "architectures",
    "attention_dropout",
    "auto_map",
    "bos_token_id",
    "dtype",
    "generation_config",
    "id2label",
    "initializer_range",
    "is_encoder_decoder",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "use_cache",
}
DESCRIPTION_PREFIXES = ("_", "audio_", "boi_", "eoi_", "image_", "unsloth_", "video_", "vision_")


def check_top(raw: Mapping[str, Any]) -> None:
    """Raises ConfigError for a top-level key that could change the maths and is not known.

    Unknown text is a note to people and passes; unknown numbers, flags and tables are refused.
    """
    misplaced = (TEXT_READ | TEXT_FIXED.keys()) - TOP_READ - TOP_FIXED.keys() - DESCRIPTION
    for key, value in raw.items():
        if key in misplaced:
            raise ConfigError(f"{key} = {value!r} belongs inside text_config")
        if key not in TOP_READ and not isinstance(value, str):
            check(key, value, TOP_FIXED, place="")


def check_text(text: Mapping[str, Any]) -> None:
    """Raises ConfigError for a key of text_config that is not known, whatever its value."""
    for key, value in text.items():
        if key not in TEXT_READ:
            check(key, value, TEXT_FIXED, place="text_config.")


def check(key: str, value: Any, fixed: Mapping[str, tuple[Any, ...]], *, place: str) -> None:
    if key in fixed:
        if not any(value is known or value == known for known in fixed[key]):
            known = " or ".join(map(repr, fixed[key]))
            raise ConfigError(
                f"{place}{key} = {value!r} is not supported: this network knows {known} only"
            )
    elif not (value is None or key in DESCRIPTION or key.startswith(DESCRIPTION_PREFIXES)):
        raise ConfigError(
            f"unknown key {place}{key} = {value!r}; it could change the maths, so it "
            "is not ignored. Remove it if it is only a note"
        )
