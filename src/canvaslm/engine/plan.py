"""What a model will need of the memory, before any of it is taken; and whether that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canvaslm.cache.pages import PAGE_SIZE
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import is_vision, original_of
from canvaslm.engine.checks import check_integer
from canvaslm.engine.memory import available_memory
from canvaslm.engine.quantised.matrices import kept_names, matrices, shapes
from canvaslm.engine.quantised.rounder import rounded_format
from canvaslm.errors import OutOfMemoryError
from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.quant.scheme import Scheme, scheme_of

CONTEXT = 8192  # tokens planned for where nothing is asked, if the model has as many
RESERVE = 300_000_000  # bytes of the program itself: Python, torch, the tokenizer
KV_BYTES = 2  # of a number in bfloat16 pages


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bytes by purpose, and what is free. `quant` is the name of the scheme, or None."""

    weights: Mapping[str, int]  # experts, dense, embedding, rest
    kv: int
    head: int
    workspace: int
    available: int
    context: int
    batch: int
    quant: str | None

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
        return (
            f"{self.total / 1e9:.2f} GB are needed ({parts}) with a context of {self.context:,} "
            f"tokens and {self.batch} at a time, and {self.available / 1e9:.2f} GB are free"
        )


def plan(
    checkpoint: Checkpoint,
    *,
    quant: str | Scheme | None = None,
    context: int | None = None,
    batch: int = 1,
    available: int | None = None,
) -> Plan:
    """The memory this checkpoint takes, `context` tokens of prompt and answer in every prefix.

    `quant` as for `load`: None is as the files say. Nothing is read but headers. Raises
    ParameterError for a context that the model does not have.
    """
    config = checkpoint.config
    tokens = context_of(config, context)
    check_integer("batch", batch, least=1)
    scheme = None if quant is None else scheme_of(quant)
    rows = batch * config.canvas_length
    return Plan(
        weights=stored_weights(checkpoint) if scheme is None else made_weights(checkpoint, scheme),
        kv=batch * sum(kv_bytes(layer, tokens, config) for layer in config.layers),
        head=rows * config.vocab_size * 2,
        workspace=workspace_bytes(config, rows),
        available=available_memory() if available is None else available,
        context=tokens,
        batch=batch,
        quant=quant if isinstance(quant, str) else None,
    )


def context_of(config: ModelConfig, context: int | None) -> int:
    if context is None:
        return min(CONTEXT, config.max_positions)
    check_integer("context", context, least=config.canvas_length, below=config.max_positions + 1)
    return context


def check_memory(
    checkpoint: Checkpoint,
    *,
    quant: str | Scheme | None = None,
    context: int | None = None,
    available: int | None = None,
) -> Plan:
    """The plan, if it fits. Raises OutOfMemoryError with its numbers, and what would fit."""
    made = plan(checkpoint, quant=quant, context=context, available=available)
    if made.fits:
        return made
    ways = "; ".join(smaller(checkpoint, made)) or "free some memory, or take a smaller model"
    raise OutOfMemoryError(f"{checkpoint.path}: {made.describe()}: {ways}")


def smaller(checkpoint: Checkpoint, made: Plan) -> Iterator[str]:
    """Changes that would make it fit."""
    shortest = checkpoint.config.canvas_length
    context = made.context // 2
    while context >= shortest:
        if plan_like(checkpoint, made, context=context).fits:
            yield f"context={context} would fit"
            break
        context //= 2
    if checkpoint.quantised:
        return
    for name in ("int8", "int4"):
        if name != made.quant and plan_like(checkpoint, made, quant=name).fits:
            yield f"quant={name!r} would fit"
            break


def plan_like(
    checkpoint: Checkpoint, made: Plan, *, quant: str | None = None, context: int | None = None
) -> Plan:
    return plan(
        checkpoint,
        quant=quant or made.quant,
        context=context or made.context,
        batch=made.batch,
        available=made.available,
    )


def stored_weights(checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes of the files by part; image encoder and tied copies are not loaded."""
    found = dict.fromkeys(("experts", "dense", "embedding", "rest"), 0)
    for name, tensor in checkpoint.tensors.items():
        original = original_of(name)
        if not is_vision(name) and (original is None or original not in checkpoint.tensors):
            found[stored_part(name)] += tensor.size
    return found


def stored_part(name: str) -> str:
    if ".experts." in name:
        return "experts"
    if "embed_tokens" in name or name.startswith("lm_head"):
        return "embedding"
    return "dense" if "_proj." in name and "self_conditioning" not in name else "rest"


def made_weights(checkpoint: Checkpoint, scheme: Scheme) -> dict[str, int]:
    """Bytes of the weights once they are rounded; what is kept has the width of the files."""
    found = dict.fromkeys(("experts", "dense", "embedding", "rest"), 0)
    width = checkpoint.dtype.itemsize
    for matrix in matrices(checkpoint.config):
        rows, inputs = matrix.shape
        format = rounded_format(scheme, matrix)
        if format is None:
            bf16 = scheme.format_of(matrix.part) == "bf16"
            found[matrix.part] += rows * inputs * (2 if bf16 else width)
        elif format == "int8":
            found[matrix.part] += rows * (inputs + 4)
        else:
            group = scheme.group_of(format, inputs, matrix.module) or inputs
            scale = 2 if format == "int4" else 1
            found[matrix.part] += rows * inputs // 2 + rows * inputs // group * scale
    sizes = shapes(checkpoint.config)
    for name in kept_names(checkpoint.config):
        count = 1
        for size in sizes[name]:
            count *= size
        found["rest"] += count * 4
    return found


def kv_bytes(layer: LayerConfig, context: int, config: ModelConfig) -> int:
    """K and V of a prefix in whole pages; a sliding layer keeps what its window can reach."""
    reach = context
    if layer.window is not None:
        reach = min(context, layer.window + config.canvas_length + PAGE_SIZE)
    tokens = -(-reach // PAGE_SIZE) * PAGE_SIZE
    return 2 * tokens * layer.kv_heads * layer.head_dim * KV_BYTES


def workspace_bytes(config: ModelConfig, rows: int) -> int:
    """Activations of the widest layer: residual, projections, the inner rows of MLP and experts."""
    heads = max((layer.heads + 2 * layer.kv_heads) * layer.head_dim for layer in config.layers)
    inner = 2 * config.intermediate_size
    if config.experts is not None:
        inner += config.experts.top_k * (
            2 * config.experts.intermediate_size + 2 * config.hidden_size
        )
    return 4 * rows * (6 * config.hidden_size + 2 * heads + inner)
