"""A configuration that cannot be built is refused, showing the value."""

from dataclasses import replace
from typing import Any

import pytest
from tests.model.conftest import SMALL

from canvaslm.errors import ConfigError
from canvaslm.model.config import ExpertsConfig, LayerConfig, RopeConfig

LAYER = SMALL.layers[0]


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        (SMALL, {"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        (SMALL, {"layers": ()}, "at least one layer"),
        (SMALL, {"softcap": 0.0}, "softcap must be positive"),
        (SMALL, {"max_positions": 5}, "shorter than one canvas of 6"),
        (SMALL, {"pad_id": 32}, "outside the vocabulary of 32"),
        (SMALL, {"eos_ids": (1, -1)}, "outside the vocabulary of 32"),
        (LAYER, {"heads": 3}, "multiple of kv_heads, got 3 and 2"),
        (LAYER, {"head_dim": 5}, "must be even"),
        (LAYER, {"kv_heads": 0}, "kv_heads must be at least 1"),
        (LAYER, {"window": 0}, "window must be at least 1"),
        (ExpertsConfig(count=4, top_k=1, intermediate_size=8), {"top_k": 5}, r"\[1, 4\], got 5"),
        (ExpertsConfig(count=4, top_k=1, intermediate_size=8), {"count": 0}, "positive count"),
        (RopeConfig(theta=1e4), {"theta": 0}, "theta must be positive"),
        (RopeConfig(theta=1e4), {"kind": "yarn"}, "'yarn'"),
        (RopeConfig(theta=1e4), {"kind": "proportional", "partial": 1.5}, "1.5"),
        (RopeConfig(theta=1e4), {"partial": 0.5}, "turns every pair"),
    ],
)
def test_an_impossible_value_is_shown(part: Any, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        replace(part, **changes)


def test_a_layer_slides_when_it_has_a_window() -> None:
    assert LAYER.sliding
    assert not LayerConfig(heads=1, kv_heads=1, head_dim=2, window=None, rope=LAYER.rope).sliding
