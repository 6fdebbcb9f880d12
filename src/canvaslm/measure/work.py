"""What a pass has to do, counted from sizes: operations and bytes of each part.

Operations are additions and multiplications in matrix products. Bytes are weights and K/V, each
read once: activations stay in the caches. So a part's floor is the larger of its bytes over the
bandwidth and its operations over the peak of the kind of number it multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from canvaslm.kernels.cpu.peaks import Peaks
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Format
from canvaslm.model.config import LayerConfig, ModelConfig

# T tokens of all rows, N of one row, S keys in sight

EXPERTS, DENSE, ATTENTION = "experts", "dense products", "attention"
HEAD, SOFT, ROWS, REST = "vocabulary head", "soft embedding", "between products", "everything else"

Bits = {"float32": 32.0, "bfloat16": 16.0, "int8": 8.0, "int4": 4.25, "mxfp4": 4.25}
"""Bits of a weight, scales of groups of 64 among them."""

PRODUCT: Mapping[str, Kind] = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "int8": "int8",
    "int4": "int8",
    "mxfp4": "int8",
}
"""The kind of number that a weight's format is multiplied in."""


@dataclass(frozen=True, kw_only=True)
class Formats:
    """What the matrices of a network are stored as."""

    experts: Format
    dense: Format
    embedding: Format
    cache: Kind


@dataclass(frozen=True, kw_only=True)
class Work:
    """Operations by the kind of number that is multiplied, and bytes from memory."""

    by_kind: Mapping[Kind, float] = field(default_factory=dict)
    bytes: float = 0.0

    @property
    def operations(self) -> float:
        return sum(self.by_kind.values())

    def arithmetic(self, peaks: Peaks) -> float:
        """Seconds of the operations at their peaks."""
        return sum(count / peaks.operations(kind) for kind, count in self.by_kind.items())

    def memory(self, peaks: Peaks) -> float:
        """Seconds of the bytes at the peak of reading."""
        return self.bytes / peaks.read_bytes

    def floor(self, peaks: Peaks) -> float:
        """Seconds that this takes at least."""
        return max(self.memory(peaks), self.arithmetic(peaks))

    def bound_by(self, peaks: Peaks) -> str:
        return "memory" if self.memory(peaks) > self.arithmetic(peaks) else "arithmetic"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A pass of `rows` rows of `tokens` tokens each after `prefix` tokens.

    `causal` tokens see half of each other; `read` are positions that go through the vocabulary
    head, and `soft` whether a soft embedding is made of them.
    """

    rows: int
    tokens: int
    prefix: int
    causal: bool = False
    read: int = 0
    soft: bool = False

    @property
    def total(self) -> int:
        return self.rows * self.tokens


@dataclass
class Counter:
    """Work by part, added up."""

    parts: dict[str, Work] = field(default_factory=dict)

    def add(self, part: str, kind: Kind, operations: float, bytes: float) -> None:
        before = self.parts.get(part, Work())
        done = before.by_kind.get(kind, 0.0) + operations
        self.parts[part] = Work(by_kind={**before.by_kind, kind: done}, bytes=before.bytes + bytes)


def count(config: ModelConfig, formats: Formats, shape: Shape) -> dict[str, Work]:
    """The work of one pass by part."""
    counter = Counter()
    for layer in config.layers:
        count_layer(counter, config, layer, formats, shape)
    if not shape.causal:  # self-conditioning keeps the embedding's format
        conditioning = 3.0 * config.hidden_size * config.intermediate_size
        add_product(counter, DENSE, formats.embedding, conditioning, shape.total)
    table = float(config.vocab_size) * config.hidden_size
    if shape.read:
        add_product(counter, HEAD, formats.embedding, table, shape.read)
    if shape.soft:
        add_product(counter, SOFT, formats.embedding, table, shape.read)
    return counter.parts


def count_layer(
    counter: Counter, config: ModelConfig, layer: LayerConfig, formats: Formats, shape: Shape
) -> None:
    size, tokens = config.hidden_size, shape.total
    width, kinds = layer.heads * layer.head_dim, 2 if layer.sliding else 1
    kv = layer.kv_heads * layer.head_dim
    weights = size * (2 * width + kinds * kv) + 3 * size * config.intermediate_size
    add_product(counter, DENSE, formats.dense, weights, tokens)
    seen = shape.prefix if layer.window is None else min(shape.prefix, layer.window - 1)
    own = shape.tokens / 2 if shape.causal else shape.tokens
    number = Bits[formats.cache] / 8
    counter.add(
        ATTENTION,
        formats.cache,
        4.0 * width * tokens * (seen + own),
        2.0 * kv * number * shape.rows * (seen + shape.tokens),
    )
    if config.experts is not None:
        one = 3.0 * size * config.experts.intermediate_size
        touched = touched_experts(config, tokens)
        counter.add(
            EXPERTS,
            PRODUCT[formats.experts],
            2.0 * one * config.experts.top_k * tokens,
            one * touched * Bits[formats.experts] / 8,
        )


def add_product(counter: Counter, part: str, format: Format, weights: float, tokens: int) -> None:
    counter.add(part, PRODUCT[format], 2.0 * weights * tokens, weights * Bits[format] / 8)


def touched_experts(config: ModelConfig, tokens: int) -> float:
    """How many experts some token is sent to, if all are equally likely."""
    assert config.experts is not None
    missed = (1 - config.experts.top_k / config.experts.count) ** tokens
    return config.experts.count * (1 - missed)
