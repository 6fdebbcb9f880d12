"""`quantization_config` of config.json: refused where it names a layout that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canvaslm.errors import ConfigError

KEY = "quantization_config"
METHOD = "compressed-tensors"
MIXED = "mixed-precision"
READ = (
    "int-quantized",
    "pack-quantized",
    "mxfp4-pack-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
)
MODELOPT = "modelopt"
MODELOPT_READ = ("NVFP4", "FP8")


def is_quantised(raw: Mapping[str, Any]) -> bool:
    return raw.get(KEY) is not None


def check_layout(raw: Mapping[str, Any]) -> None:
    """Raises ConfigError, with the layout's name, for one that cannot be read exactly."""
    declared = raw.get(KEY)
    if declared is None:
        return
    if not isinstance(declared, Mapping):
        raise ConfigError(f"{KEY} must be a table of settings, got {declared!r}")
    method = declared.get("quant_method")
    if method == MODELOPT:
        algorithm = declared.get("quant_algo")
        if algorithm not in MODELOPT_READ:
            raise unknown(f"{MODELOPT} {algorithm!r}")
    elif method == METHOD:
        check_groups(declared)
    else:
        raise unknown(repr(method))


def check_groups(declared: Mapping[str, Any]) -> None:
    groups = declared.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise ConfigError(f"{KEY}.config_groups is {groups!r}, expected a table")
    for name, group in groups.items():
        layout = (group.get("format") if isinstance(group, Mapping) else None) or declared.get(
            "format"
        )
        if layout not in READ:
            raise unknown(f"{METHOD} {layout!r} (group {name})")
        weights = group.get("weights")
        if not isinstance(weights, Mapping) or weights.get("symmetric") is False:
            raise ConfigError(
                f"{KEY} group {name} is asymmetric or says nothing of its weights "
                f"({weights!r}); only symmetric weights can be read: quantise the original anew "
                "with `canvaslm quantize`"
            )
    for key in ("transform_config", "sparsity_config"):
        value = declared.get(key)
        if value and not (isinstance(value, Mapping) and value.get("format") == "dense"):
            raise ConfigError(
                f"{KEY}.{key} = {value!r} changes what the weights mean and is not "
                "supported: quantise the original anew with `canvaslm quantize`"
            )


def unknown(layout: str) -> ConfigError:
    return ConfigError(
        f"{KEY}: weights quantised as {layout} cannot be read; known are {METHOD} "
        f"{', '.join(READ)}, and {MODELOPT} {', '.join(MODELOPT_READ)}. Take the original "
        "checkpoint and run `canvaslm quantize` on it"
    )


def declare(groups: Mapping[str, Mapping[str, Any]], ignore: Sequence[str]) -> dict[str, Any]:
    """`quantization_config` for groups as `group` makes them; `ignore` are the kept modules."""
    formats = {group["format"] for group in groups.values()}
    return {
        "quant_method": METHOD,
        "quantization_status": "compressed",
        "format": formats.pop() if len(formats) == 1 else MIXED,
        "config_groups": {name: dict(group) for name, group in groups.items()},
        "ignore": list(ignore),
        "kv_cache_scheme": None,
    }


def group(format: str, group_size: int | None, targets: Sequence[str]) -> dict[str, Any]:
    """One entry of config_groups, for a `Weight.format`."""
    layouts = {
        "int8": "int-quantized",
        "int4": "pack-quantized",
        "mxfp4": "mxfp4-pack-quantized",
    }
    weights: dict[str, Any] = {
        "num_bits": 8 if format == "int8" else 4,
        "type": "float" if format == "mxfp4" else "int",
        "symmetric": True,
        "strategy": "channel" if format == "int8" else "group",
        "group_size": group_size,
        "dynamic": False,
    }
    if format == "mxfp4":
        weights["scale_dtype"] = "torch.uint8"
    inputs = None
    if format == "int8":  # int-quantized means that inputs are rounded, too, each token by itself
        inputs = {
            "num_bits": 8,
            "type": "int",
            "symmetric": True,
            "strategy": "token",
            "dynamic": True,
        }
    return {
        "format": layouts[format],
        "targets": list(targets),
        "weights": weights,
        "input_activations": inputs,
        "output_activations": None,
    }
