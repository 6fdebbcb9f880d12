"""PEFT's adapter_config.json: what is read of it, what cannot be obeyed, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canvaslm.adapter.adapter import Adapter
from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.names import pattern_of
from canvaslm.errors import ConfigError, ParameterError

FILE = "adapter_config.json"

READ = {"peft_type", "r", "lora_alpha", "use_rslora", "base_model_name_or_path"}
OF_TRAINING = {
    "auto_mapping",
    "ensure_weight_tying",  # of the embedding, which has no adapters here
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",  # the tensors say it
    "task_type",
}
"""Keys that change nothing of what a trained adapter computes."""

NEUTRAL: tuple[Any, ...] = (None, False, "", "none", {}, [])
STARTS: tuple[Any, ...] = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to start that leave the base as it is; the others take a part out of it."""

REASONS = {
    "alpha_pattern": "matrices with an alpha of their own are not read",
    "bias": "biases beside an adapter are not read, as this network has none",
    "lora_bias": "biases beside an adapter are not read, as this network has none",
    "layer_replication": "the network's layers are not repeated",
    "modules_to_save": "whole modules beside an adapter are not read; merge them with PEFT",
    "rank_pattern": "matrices with a rank of their own are not read",
    "target_parameters": "experts have no adapters here; train on attention and dense MLPs",
    "trainable_token_indices": "single rows of the embedding are not read; merge them with PEFT",
    "use_dora": "DoRA scales every row of a weight, which is no low-rank change",
}


def read_settings(raw: Mapping[str, Any], path: Path) -> tuple[AdapterConfig, str | None]:
    """The adapter's configuration, but for its targets, and the name of its base.

    Raises ConfigError for another kind of adapter, and for a key that changes what it computes and
    is not obeyed here.
    """
    if raw.get("peft_type") != "LORA":
        raise ConfigError(
            f"{path}: peft_type is {raw.get('peft_type')!r}, and only 'LORA' is read; train a "
            "LoRA, or merge this one with PEFT"
        )
    for key, value in raw.items():
        check(key, value, path)
    try:
        rank, alpha, rslora = raw["r"], raw["lora_alpha"], raw.get("use_rslora", False)
        if type(rank) is not int or type(alpha) not in (int, float) or type(rslora) is not bool:
            raise ConfigError(
                f"{path}: r = {rank!r}, lora_alpha = {alpha!r}, use_rslora = {rslora!r}; expected "
                "a whole number, a number, and true or false"
            )
        config = AdapterConfig(rank=rank, alpha=float(alpha), rslora=rslora)
    except KeyError as missing:
        raise ConfigError(f"{path} lacks {missing}; save the adapter again with PEFT") from None
    except ParameterError as error:
        raise ConfigError(f"{path} cannot be used: {error}") from None
    base = raw.get("base_model_name_or_path")
    return config, str(base) if base else None


def check(key: str, value: Any, path: Path) -> None:
    if key in READ or key in OF_TRAINING:
        return
    if key == "init_lora_weights":
        if not any(value is start or value == start for start in STARTS):
            raise ConfigError(
                f"{path}: init_lora_weights = {value!r} changed the base before training; convert "
                "the adapter with PEFT (save_pretrained with path_initial_model_for_weight_"
                "conversion)"
            )
    elif not any(value is neutral or value == neutral for neutral in NEUTRAL):
        reason = REASONS.get(key, "it could change what the adapter computes, and is not known")
        raise ConfigError(f"{path}: {key} = {value!r} cannot be obeyed: {reason}")


def describe_settings(adapter: Adapter, modules: list[str]) -> dict[str, Any]:
    """adapter_config.json of an adapter on these modules of transformers."""
    config = adapter.config
    alpha = int(config.alpha) if float(config.alpha).is_integer() else config.alpha
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": adapter.base,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "use_rslora": config.rslora,
        "target_modules": pattern_of(modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }
