"""`canvaslm info`: what a checkpoint is, from its headers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.checkpoint.folder import Checkpoint
    from canvaslm.model.config import LayerConfig, ModelConfig


def info(
    model: Annotated[
        str | None,
        typer.Argument(help="Folder or hub id; without it, the embedded model."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Add the memory it takes to run, and what is free.")
    ] = False,
    quant: options.Quant = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="Of --plan: tokens of prompt and answer.", show_default="8192, or the model's"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Of --plan: requests at a time.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Print a model's shape, size, tokenizer and generation settings; no weight is read."""
    from canvaslm.checkpoint.folder import open_checkpoint
    from canvaslm.engine.loading import POCKET

    checkpoint = open_checkpoint(POCKET if model is None else model)
    found = {
        "path": str(checkpoint.path),
        **_size(checkpoint),
        **_shape(checkpoint.config),
        "tokenizer": _tokenizer(checkpoint.path),
        "generation": dict(checkpoint.generation),
    }
    if plan:
        found["memory"] = _memory(checkpoint, quant=quant, context=context, batch=batch)
    elif (quant, context, batch) != (None, None, 1):
        raise ParameterError("--quant, --context and --batch say what to plan for: add --plan")
    if as_json:
        output.write_json(found)
        return
    for name, value in found.items():
        for row in _rows(name, value):
            typer.echo(row)


def _size(checkpoint: Checkpoint) -> dict[str, Any]:
    from canvaslm.model.presets import parameter_count

    return {
        "parameters": parameter_count(checkpoint.config),
        "active_parameters": _active(checkpoint.config),
        "bytes": checkpoint.size,
        "dtype": str(checkpoint.dtype).removeprefix("torch."),
        "quantised": _layouts(checkpoint),
    }


def _layouts(checkpoint: Checkpoint) -> list[str] | None:
    """The layouts that config.json declares, as far as it names them."""
    declared = checkpoint.raw_config.get("quantization_config")
    if declared is None:
        return None
    groups = declared.get("config_groups", {}).values()
    named = [group.get("format") or declared.get("format") for group in groups]
    return sorted(set(named)) or [declared.get("quant_algo", declared["quant_method"])]


def _memory(
    checkpoint: Checkpoint, *, quant: str | None, context: int | None, batch: int
) -> dict[str, Any]:
    """Bytes by purpose, their sum, what is free, and whether it fits."""
    from canvaslm.engine import plan

    made = plan.plan(checkpoint, quant=quant, context=context, batch=batch)
    return {
        "quant": made.quant,
        "dtype": made.dtype and plan.name_of(made.dtype),
        "context": made.context,
        "batch": made.batch,
        **made.parts,
        "total": made.total,
        "available": made.available,
        "fits": made.fits,
    }


def _active(config: ModelConfig) -> int:
    """Parameters a token passes through: of the experts, only the chosen ones."""
    from canvaslm.model.presets import parameter_count

    total = parameter_count(config)
    if config.experts is None:
        return total
    one_expert = 3 * config.hidden_size * config.experts.intermediate_size
    idle = config.experts.count - config.experts.top_k
    return total - len(config.layers) * idle * one_expert


def _shape(config: ModelConfig) -> dict[str, Any]:
    experts = config.experts
    return {
        "canvas_length": config.canvas_length,
        "context": config.max_positions,
        "vocabulary": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "layers": [f"{count} x {_layer(layer)}" for layer, count in Counter(config.layers).items()],
        "experts": experts
        and f"{experts.count}, {experts.top_k} active, width {experts.intermediate_size}",
    }


def _layer(layer: LayerConfig) -> str:
    reach = "full" if layer.window is None else f"window {layer.window}"
    return f"{reach}, {layer.heads} heads of {layer.head_dim}, {layer.kv_heads} for K/V"


def _tokenizer(folder: Path) -> dict[str, Any] | None:
    from canvaslm.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer is None:
        return None
    return {
        "vocabulary": tokenizer.vocab_size,
        "chat_template": tokenizer.template is not None,
        "ends_at": [tokenizer.token_text(id) for id in tokenizer.eos_ids],
    }


def _rows(name: str, value: Any) -> list[str]:
    """One line, or for a list or table a line each."""
    label = name.replace("_", " ")
    if isinstance(value, dict):
        value = [f"{key.replace('_', ' ')}: {_plain(part)}" for key, part in value.items()]
    parts = value if isinstance(value, list) and value else [_plain(value)]
    return [f"{label if i == 0 else '':18}  {part}" for i, part in enumerate(parts)]


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
