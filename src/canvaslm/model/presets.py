"""Ready-made network shapes, from the embedded model to the exact release, and reductions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch

from canvaslm.errors import ParameterError
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.transformer import Transformer

LOCAL = RopeConfig(theta=1e4)
GLOBAL = RopeConfig(theta=1e6, kind="proportional", partial=0.25)
ROUND_TO = 8  # reduced widths are multiples of this


def pattern(
    sliding: LayerConfig, full: LayerConfig, *, run: int, count: int
) -> tuple[LayerConfig, ...]:
    """`count` layers in groups: `run` sliding ones, then a full one."""
    return ((sliding,) * run + (full,)) * (count // (run + 1))


def attention(
    *,
    heads: int,
    kv_heads: tuple[int, int],
    head_dim: tuple[int, int],
    window: int,
    local: RopeConfig = LOCAL,
) -> tuple[LayerConfig, LayerConfig]:
    """A sliding layer and a full one; pairs give the sliding layer's value first."""
    sliding = LayerConfig(
        heads=heads, kv_heads=kv_heads[0], head_dim=head_dim[0], window=window, rope=local
    )
    full = LayerConfig(
        heads=heads, kv_heads=kv_heads[1], head_dim=head_dim[1], window=None, rope=GLOBAL
    )
    return sliding, full


def pocket(
    *,
    hidden_size: int = 128,
    layers: int = 6,
    vocab_size: int = 2048,
    eos_ids: tuple[int, ...] = (1, 6),
) -> ModelConfig:
    """The embedded model's shape: two sliding layers to each full one, 8 experts with 2 active.

    The sliding layers' RoPE base is 1709 rather than 10,000, which puts the second of the 16
    frequencies at one turn per 10 tokens: the pitch of a Sudoku row with its line end.
    """
    heads = hidden_size // 32
    kinds = attention(
        heads=heads,
        kv_heads=(max(1, heads // 2), 1),
        head_dim=(32, 64),
        window=512,
        local=RopeConfig(theta=1709.0),
    )
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        layers=pattern(*kinds, run=2, count=layers),
        experts=ExpertsConfig(count=8, top_k=2, intermediate_size=hidden_size // 2),
        max_positions=8192,
        eos_ids=eos_ids,
    )


PRESETS: Mapping[str, ModelConfig] = MappingProxyType(
    {
        "pocket": pocket(),
        "2b": ModelConfig(
            vocab_size=262_144,
            hidden_size=2048,
            intermediate_size=7168,
            layers=pattern(
                *attention(heads=8, kv_heads=(4, 1), head_dim=(256, 512), window=512),
                run=5,
                count=24,
            ),
            eos_ids=(1, 106),
        ),
        "7b": ModelConfig(
            vocab_size=262_144,
            hidden_size=3072,
            intermediate_size=13_824,
            layers=pattern(
                *attention(heads=16, kv_heads=(8, 2), head_dim=(256, 512), window=1024),
                run=5,
                count=36,
            ),
            eos_ids=(1, 106),
        ),
        "26b-a4b": ModelConfig(
            vocab_size=262_144,
            hidden_size=2816,
            intermediate_size=2112,
            layers=pattern(
                *attention(heads=16, kv_heads=(8, 2), head_dim=(256, 512), window=1024),
                run=5,
                count=30,
            ),
            experts=ExpertsConfig(count=128, top_k=8, intermediate_size=704),
            max_positions=262_144,
            eos_ids=(1, 106),
        ),
    }
)


def preset(name: str) -> ModelConfig:
    """The shape called `name`. Raises ParameterError, listing the names, if there is none."""
    if name not in PRESETS:
        raise ParameterError(f"preset {name!r} does not exist: use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def reduced(
    config: ModelConfig, *, layers: int | None = None, scale: float | None = None
) -> ModelConfig:
    """A smaller network of the same kind: fewer layers, narrower by `scale`, or both.

    The last layer stays the last, so attention still ends in a full layer. Widths, heads and
    kv heads shrink; head size, window, vocabulary, canvas and the number of experts stay.
    Raises ParameterError if there are not so many layers or `scale` is outside (0, 1].
    """
    if layers is not None:
        if not 1 <= layers <= len(config.layers):
            raise ParameterError(f"layers must lie in [1, {len(config.layers)}], got {layers}")
        config = replace(config, layers=(*config.layers[: layers - 1], config.layers[-1]))
    if scale is None:
        return config
    if not 0 < scale <= 1:
        raise ParameterError(f"scale must lie in (0, 1], got {scale}")
    experts = config.experts and replace(
        config.experts, intermediate_size=narrowed(config.experts.intermediate_size, scale)
    )
    return replace(
        config,
        hidden_size=narrowed(config.hidden_size, scale),
        intermediate_size=narrowed(config.intermediate_size, scale),
        layers=tuple(fewer_heads(layer, scale) for layer in config.layers),
        experts=experts,
    )


def narrowed(width: int, scale: float) -> int:
    return max(ROUND_TO, round(width * scale / ROUND_TO) * ROUND_TO)


def fewer_heads(layer: LayerConfig, scale: float) -> LayerConfig:
    """The layer with `scale` times the heads, shared among kv heads as evenly as before."""
    kv_heads = max(1, round(layer.kv_heads * scale))
    groups = max(1, round(layer.heads * scale / kv_heads))
    return replace(layer, heads=groups * kv_heads, kv_heads=kv_heads)


def parameter_count(config: ModelConfig) -> int:
    """Parameters of the text network as the release counts them: one scalar per layer included."""
    with torch.device("meta"):
        model = Transformer(config)
    return sum(p.numel() for p in model.parameters()) + len(config.layers)
