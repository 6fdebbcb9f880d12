"""config.json to ModelConfig: both spellings of the per-layer geometry, no setting ignored."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from canvaslm.checkpoint.keys import check_text, check_top
from canvaslm.checkpoint.quantised_config import check_layout
from canvaslm.errors import ConfigError
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig

MODEL_TYPE, TEXT_MODEL_TYPE = "diffusion_gemma", "diffusion_gemma_text"
SLIDING, FULL = "sliding_attention", "full_attention"
DEFAULT_ROPE = {
    SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
}
DEFAULT_PATTERN = 6  # every sixth layer is full where layer_types is absent
DEFAULT_GLOBAL_HEAD_DIM = 512
DEFAULT_WINDOW = 512


def read_config(raw: Mapping[str, Any]) -> ModelConfig:
    """The network a config.json describes.

    Raises ConfigError, naming key and value, for what is missing, malformed, unsupported, or
    unknown and able to change the maths. Absent optional keys take the released code's defaults.
    """
    try:
        return read_network(raw)
    except ConfigError as error:
        raise ConfigError(f"config.json: {error}") from None


def read_network(raw: Mapping[str, Any]) -> ModelConfig:
    if raw.get("model_type") != MODEL_TYPE:
        raise ConfigError(
            f"model_type is {raw.get('model_type')!r}, expected {MODEL_TYPE!r}: this "
            "is not a DiffusionGemma checkpoint"
        )
    text = table(raw, "text_config")
    check_top(raw)
    check_layout(raw)
    check_text(text)
    eos = raw.get("eos_token_id")
    return ModelConfig(
        vocab_size=integer(text, "vocab_size"),
        hidden_size=integer(text, "hidden_size"),
        intermediate_size=integer(text, "intermediate_size"),
        layers=read_layers(text),
        experts=read_experts(text),
        norm_eps=number(text, "rms_norm_eps", 1e-6),
        softcap=read_softcap(text),
        canvas_length=integer(raw, "canvas_length", 256),
        max_positions=integer(text, "max_position_embeddings", 131_072),
        pad_id=integer(text, "pad_token_id", 0),
        bos_id=integer(text, "bos_token_id", 2),
        eos_ids=read_ids("eos_token_id", text.get("eos_token_id", 1) if eos is None else eos),
    )


def read_layers(text: Mapping[str, Any]) -> tuple[LayerConfig, ...]:
    kinds = read_kinds(text)
    heads = integer(text, "num_attention_heads")
    ropes = {kind: read_rope(text, kind) for kind in set(kinds)}
    window = integer(text, "sliding_window", DEFAULT_WINDOW)
    base = {name: integer(text, name) for name in ("head_dim", "num_key_value_heads")}
    layers = []
    for index, overrides in enumerate(read_overrides(text, kinds)):
        shape = base | overrides
        try:
            layer = LayerConfig(
                heads=heads,
                kv_heads=shape["num_key_value_heads"],
                head_dim=shape["head_dim"],
                window=window if kinds[index] == SLIDING else None,
                rope=ropes[kinds[index]],
            )
        except ConfigError as error:
            raise ConfigError(f"layer {index}: {error}") from None
        layers.append(layer)
    return tuple(layers)


def read_kinds(text: Mapping[str, Any]) -> list[str]:
    """The attention kind of every layer; the last one is full, as the released code insists."""
    count = integer(text, "num_hidden_layers")
    kinds = text.get("layer_types")
    if kinds is None:
        kinds = [FULL if (i + 1) % DEFAULT_PATTERN == 0 else SLIDING for i in range(count)]
        return [*kinds[:-1], FULL]
    if not isinstance(kinds, list) or not set(kinds) <= {SLIDING, FULL}:
        raise ConfigError(
            f"text_config.layer_types must list {SLIDING!r} and {FULL!r}, got {kinds!r}"
        )
    if len(kinds) != count:
        raise ConfigError(
            f"text_config.layer_types has {len(kinds)} entries for num_hidden_layers = {count}"
        )
    if kinds[-1] != FULL:
        warnings.warn(
            f"the last of text_config.layer_types is {kinds[-1]!r}; it is taken as "
            f"{FULL!r}, as the reference implementation does",
            stacklevel=2,
        )
    return [*kinds[:-1], FULL]


def read_overrides(text: Mapping[str, Any], kinds: list[str]) -> list[dict[str, int]]:
    """What each layer changes of head_dim and num_key_value_heads, from either spelling."""
    spelled_globally = {"global_head_dim", "num_global_key_value_heads"} & text.keys()
    shared = {"head_dim": integer(text, "global_head_dim", DEFAULT_GLOBAL_HEAD_DIM)}
    if text.get("num_global_key_value_heads") is not None:
        shared["num_key_value_heads"] = integer(text, "num_global_key_value_heads")
    globally = [shared if kind == FULL else {} for kind in kinds]
    if text.get("per_layer_config") is None:
        return globally
    per_layer = read_per_layer(table(text, "per_layer_config"), len(kinds))
    if spelled_globally:
        base = {name: integer(text, name) for name in ("head_dim", "num_key_value_heads")}
        if [base | layer for layer in globally] != [base | layer for layer in per_layer]:
            raise ConfigError(
                f"text_config.per_layer_config = {text['per_layer_config']!r} and "
                f"{sorted(spelled_globally)} describe different layers; keep one of them"
            )
    return per_layer


def read_per_layer(layers: Mapping[str, Any], count: int) -> list[dict[str, int]]:
    overrides: list[dict[str, int]] = [{} for _ in range(count)]
    for key, values in layers.items():
        if not key.isdecimal() or int(key) >= count or not isinstance(values, Mapping):
            raise ConfigError(
                f"text_config.per_layer_config[{key!r}] = {values!r}: expected a "
                f"layer number below {count} with a table of its settings"
            )
        unknown = {k: v for k, v in values.items() if k not in ("head_dim", "num_key_value_heads")}
        if unknown:
            raise ConfigError(
                f"text_config.per_layer_config[{key!r}] holds {unknown!r}; only "
                "head_dim and num_key_value_heads may differ between layers"
            )
        overrides[int(key)] = {name: integer(values, name) for name in values}
    return overrides


def read_rope(text: Mapping[str, Any], kind: str) -> RopeConfig:
    parameters = text.get("rope_parameters")
    rope = table(DEFAULT_ROPE if parameters is None else table(text, "rope_parameters"), kind)
    name = rope.get("rope_type", rope.get("type", "default"))
    known = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    unknown = {k: v for k, v in rope.items() if k not in known and (k, v) != ("factor", 1)}
    if unknown or name not in ("default", "proportional"):
        raise ConfigError(
            f"text_config.rope_parameters.{kind} = {dict(rope)!r} is not supported: "
            "expected rope_type 'default' or 'proportional', rope_theta and partial_rotary_factor"
        )
    return RopeConfig(
        theta=number(rope, "rope_theta"),
        kind=name,
        partial=number(rope, "partial_rotary_factor", 1.0),
    )


def read_experts(text: Mapping[str, Any]) -> ExpertsConfig | None:
    if text.get("num_experts") is None:
        return None
    return ExpertsConfig(
        count=integer(text, "num_experts"),
        top_k=integer(text, "top_k_experts"),
        intermediate_size=integer(text, "moe_intermediate_size"),
    )


def read_softcap(text: Mapping[str, Any]) -> float | None:
    if "final_logit_softcapping" in text and text["final_logit_softcapping"] is None:
        return None
    return number(text, "final_logit_softcapping", 30.0)


def read_ids(key: str, value: Any) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
        raise ConfigError(f"{key} must be a token id or a list of them, got {value!r}")
    return tuple(ids)


def table(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = source.get(key)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} must be a table of settings, got {value!r}")
    return value


def integer(source: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """`source[key]`, or the default where it is absent or null; a default of None requires it."""
    value = source.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{key} must be an integer, got {value!r}")
    return value


def number(source: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """`source[key]` as a float; a default of None requires it."""
    value = source.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{key} must be a number, got {value!r}")
    return float(value)
