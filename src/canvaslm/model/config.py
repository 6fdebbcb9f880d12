"""What the network is: sizes, layer pattern, RoPE; validated, and free of any file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canvaslm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary position embedding of one kind of layer.

    `default` turns every pair; `proportional` spreads its frequencies over the whole head and turns
    only the first `partial` of them, leaving the rest without position.
    """

    theta: float
    kind: Literal["default", "proportional"] = "default"
    partial: float = 1.0

    def __post_init__(self) -> None:
        if self.theta <= 0:
            raise ConfigError(f"rope theta must be positive, got {self.theta!r}")
        if self.kind not in ("default", "proportional"):
            raise ConfigError(f"rope kind must be 'default' or 'proportional', got {self.kind!r}")
        if not 0 < self.partial <= 1:
            raise ConfigError(f"rope partial must lie in (0, 1], got {self.partial!r}")
        if self.kind == "default" and self.partial != 1:
            raise ConfigError(
                f"rope of kind 'default' turns every pair, got partial {self.partial!r}"
            )


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """Attention of one layer. `window` None means full attention; then V is the K projection."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None
    rope: RopeConfig

    def __post_init__(self) -> None:
        for name in ("heads", "kv_heads", "head_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"heads must be a multiple of kv_heads, got {self.heads} and {self.kv_heads}"
            )
        if self.head_dim % 2:
            raise ConfigError(f"head_dim must be even (RoPE turns pairs), got {self.head_dim}")
        if self.window is not None and self.window < 1:
            raise ConfigError(f"window must be at least 1 or None, got {self.window!r}")

    @property
    def sliding(self) -> bool:
        return self.window is not None


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """The mixture beside every dense MLP: `count` experts, `top_k` of them active per token."""

    count: int
    top_k: int
    intermediate_size: int

    def __post_init__(self) -> None:
        if self.count < 1 or self.intermediate_size < 1:
            raise ConfigError(
                f"experts need a positive count and size, got {self.count} x "
                f"{self.intermediate_size}"
            )
        if not 1 <= self.top_k <= self.count:
            raise ConfigError(f"top_k must lie in [1, {self.count}], got {self.top_k!r}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A DiffusionGemma text network; the defaults are those of the released code."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: tuple[LayerConfig, ...]
    experts: ExpertsConfig | None = None
    norm_eps: float = 1e-6
    softcap: float | None = 30.0
    canvas_length: int = 256
    max_positions: int = 131_072
    pad_id: int = 0
    bos_id: int = 2
    eos_ids: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "canvas_length"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not self.layers:
            raise ConfigError("a model needs at least one layer, got none")
        if self.softcap is not None and self.softcap <= 0:
            raise ConfigError(f"softcap must be positive or None, got {self.softcap!r}")
        if self.max_positions < self.canvas_length:
            raise ConfigError(
                f"max_positions {self.max_positions} is shorter than one canvas of "
                f"{self.canvas_length}"
            )
        for name, ids in (("pad_id", (self.pad_id,)), ("eos_ids", self.eos_ids)):
            if any(not 0 <= i < self.vocab_size for i in ids):
                raise ConfigError(f"{name} {ids} lies outside the vocabulary of {self.vocab_size}")
