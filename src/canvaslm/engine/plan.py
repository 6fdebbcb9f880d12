"""What a model will need of the memory, before any of it is taken; and whether that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch

from canvaslm.cache.pages import PAGE_SIZE
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import is_vision, original_of
from canvaslm.engine.checks import check_integer
from canvaslm.engine.device import choose
from canvaslm.engine.memory import available_memory
from canvaslm.engine.quantised.matrices import kept_names, matrices, shapes
from canvaslm.engine.quantised.rounder import rounded_format
from canvaslm.engine.quantised.write import check_source
from canvaslm.errors import OutOfMemoryError, ParameterError
from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.presets import parameter_count
from canvaslm.quant.scheme import Scheme, scheme_of

CONTEXT = 8192  # tokens planned for where nothing is asked, if the model has as many
RESERVE = 300_000_000  # bytes of the program itself: Python, torch, the tokenizer
INT8, BFLOAT16, FLOAT32 = 1, 2, 4  # bytes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bytes by purpose, and what is free.

    `quant` is what the weights are rounded to while they are read, `dtype` the type of floats that
    are loaded as such; both None for a folder that is quantised.
    """

    weights: Mapping[str, int]  # experts, dense, embedding, rest
    kv: int
    head: int
    workspace: int
    available: int
    context: int
    batch: int
    quant: str | Scheme | None
    dtype: torch.dtype | None
    cache: str = "auto"

    @property
    def parts(self) -> dict[str, int]:
        own = {"kv": self.kv, "head": self.head, "workspace": self.workspace, "program": RESERVE}
        return dict(self.weights) | own

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= self.available

    def describe(self) -> str:
        parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in self.parts.items() if size)
        kind = "" if self.dtype is None else f" as {name_of(self.dtype)}"
        return (
            f"{self.total / 1e9:.2f} GB are needed{kind} ({parts}) with a context of "
            f"{self.context:,} tokens and {self.batch} at a time, and "
            f"{self.available / 1e9:.2f} GB are free"
        )


def plan(
    checkpoint: Checkpoint,
    *,
    quant: str | Scheme | None = None,
    dtype: torch.dtype | None = None,
    context: int | None = None,
    batch: int = 1,
    cache: str = "auto",
    available: int | None = None,
) -> Plan:
    """The memory this checkpoint takes, `context` tokens of prompt and answer in every prefix.

    `quant` as for `load`: None is as the files say. `dtype` is the one that floats are loaded in,
    None what `load` takes on a CPU. Nothing is read but headers. Raises ParameterError for a
    context that the model does not have, and what rounding these files raises at its beginning.
    """
    config = checkpoint.config
    tokens = context_of(config, context)
    check_integer("batch", batch, least=1)
    loaded = None
    if quant is None and not checkpoint.quantised:
        loaded = dtype or usual_dtype(checkpoint)
    rows = batch * config.canvas_length
    width, small = BFLOAT16 if loaded is None else loaded.itemsize, cache == "int8"
    return Plan(
        weights=(
            stored_weights(checkpoint, dtype=loaded)
            if quant is None
            else made_weights(checkpoint, scheme_of(quant))
        ),
        kv=batch
        * sum(
            kv_bytes(layer, tokens, config, INT8 + FLOAT32 / layer.head_dim if small else width)
            for layer in config.layers
        ),
        head=rows * config.vocab_size * BFLOAT16,
        workspace=workspace_bytes(config, rows),
        available=available_memory() if available is None else available,
        context=tokens,
        batch=batch,
        quant=quant,
        dtype=loaded,
        cache=cache,
    )


def usual_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """What "auto" comes to on a CPU."""
    parameters = parameter_count(checkpoint.config)
    return choose("cpu", "auto", stored=checkpoint.dtype, parameters=parameters).dtype


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def context_of(config: ModelConfig, context: int | None) -> int:
    if context is None:
        return min(CONTEXT, config.max_positions)
    check_integer("context", context, least=config.canvas_length, below=config.max_positions + 1)
    return context


def check_memory(
    checkpoint: Checkpoint,
    *,
    quant: str | Scheme | None = None,
    dtype: torch.dtype | None = None,
    context: int | None = None,
    cache: str = "auto",
    available: int | None = None,
) -> Plan:
    """The plan, if it fits. Raises OutOfMemoryError with its numbers, and what would fit."""
    made = plan(
        checkpoint, quant=quant, dtype=dtype, context=context, cache=cache, available=available
    )
    if made.fits:
        return made
    ways = "; ".join(smaller(checkpoint, made)) or "free some memory, or take a smaller model"
    raise OutOfMemoryError(f"{checkpoint.path}: {made.describe()}: {ways}")


def smaller(checkpoint: Checkpoint, made: Plan) -> Iterator[str]:
    """Changes that would make it fit."""
    shortest = checkpoint.config.canvas_length
    context = made.context // 2
    while context >= shortest:
        if would_fit(checkpoint, made, context=context):
            yield f"context={context} would fit"
            break
        context //= 2
    if checkpoint.quantised:
        return
    stored = checkpoint.dtype
    if made.dtype not in (None, stored) and would_fit(checkpoint, made, dtype=stored):
        yield f"dtype={name_of(stored)!r} would fit"
    for name in ("int8", "int4"):
        if name != made.quant and would_fit(checkpoint, made, quant=name):
            yield f"quant={name!r} would fit, and so would a folder that `canvaslm quantize` wrote"
            break


def would_fit(
    checkpoint: Checkpoint,
    made: Plan,
    *,
    quant: str | None = None,
    dtype: torch.dtype | None = None,
    context: int | None = None,
) -> bool:
    """Whether a plan with this one change fits; not where it cannot be made."""
    try:
        other = plan(
            checkpoint,
            quant=quant or made.quant,
            dtype=dtype or made.dtype,
            context=context or made.context,
            batch=made.batch,
            cache=made.cache,
            available=made.available,
        )
    except ParameterError:  # groups that do not divide
        return False
    return other.fits


def stored_weights(checkpoint: Checkpoint, *, dtype: torch.dtype | None = None) -> dict[str, int]:
    """Bytes by part, in the files or as `dtype`; image encoder and tied copies are not loaded."""
    found = dict.fromkeys(("experts", "dense", "embedding", "rest"), 0)
    for name, tensor in checkpoint.tensors.items():
        original = original_of(name)
        if not is_vision(name) and (original is None or original not in checkpoint.tensors):
            size = tensor.size if dtype is None else prod(tensor.shape) * dtype.itemsize
            found[stored_part(name)] += size
    return found


def stored_part(name: str) -> str:
    if ".experts." in name:
        return "experts"
    if "embed_tokens" in name or name.startswith("lm_head"):
        return "embedding"
    return "dense" if "_proj." in name and "self_conditioning" not in name else "rest"


def made_weights(checkpoint: Checkpoint, scheme: Scheme) -> dict[str, int]:
    """Bytes of the weights once they are rounded; what is kept is bfloat16 or becomes float32."""
    check_source(checkpoint, scheme)
    found = dict.fromkeys(("experts", "dense", "embedding", "rest"), 0)
    width = BFLOAT16 if checkpoint.dtype == torch.bfloat16 else FLOAT32
    for matrix in matrices(checkpoint.config):
        rows, inputs = matrix.shape
        format = rounded_format(scheme, matrix)
        if format is None:
            bf16 = scheme.format_of(matrix.part) == "bf16"
            found[matrix.part] += rows * inputs * (BFLOAT16 if bf16 else width)
        elif format == "int8":
            found[matrix.part] += rows * (inputs + 4)
        else:
            group = scheme.group_of(format, inputs, matrix.module) or inputs
            scale = 2 if format == "int4" else 1
            found[matrix.part] += rows * inputs // 2 + rows * inputs // group * scale
    sizes = shapes(checkpoint.config)
    for name in kept_names(checkpoint.config):
        found["rest"] += prod(sizes[name]) * FLOAT32
    return found


def kv_bytes(layer: LayerConfig, context: int, config: ModelConfig, width: float) -> int:
    """K and V of a prefix in whole pages, `width` bytes a number; a sliding layer keeps what its
    window can reach."""
    reach = context
    if layer.window is not None:
        reach = min(context, layer.window + config.canvas_length + PAGE_SIZE)
    tokens = -(-reach // PAGE_SIZE) * PAGE_SIZE
    return round(2 * tokens * layer.kv_heads * layer.head_dim * width)


def workspace_bytes(config: ModelConfig, rows: int) -> int:
    """Activations of the widest layer: residual, projections, the inner rows of MLP and experts."""
    heads = max((layer.heads + 2 * layer.kv_heads) * layer.head_dim for layer in config.layers)
    inner = 2 * config.intermediate_size
    if config.experts is not None:
        inner += config.experts.top_k * (
            2 * config.experts.intermediate_size + 2 * config.hidden_size
        )
    return 4 * rows * (6 * config.hidden_size + 2 * heads + inner)
