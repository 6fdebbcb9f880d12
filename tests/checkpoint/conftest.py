"""A tiny checkpoint to open, to copy and to damage."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from canvaslm.engine.create import new_checkpoint
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig

ROPE = RopeConfig(theta=1e4)
TINY = ModelConfig(
    vocab_size=24,
    hidden_size=16,
    intermediate_size=8,
    layers=(
        LayerConfig(heads=2, kv_heads=2, head_dim=4, window=4, rope=ROPE),
        LayerConfig(heads=2, kv_heads=1, head_dim=8, window=None, rope=ROPE),
    ),
    experts=ExpertsConfig(count=4, top_k=2, intermediate_size=8),
    canvas_length=4,
    max_positions=32,
)
Change = Callable[[dict[str, Tensor]], Mapping[str, Tensor] | None]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a small mixture of experts in float32, and a file that is not ours."""
    notes = {"README.md": b"# tiny\n", "tokenizer.json": b"{}", "chat_template.jinja": b"{{ 1 }}"}
    return new_checkpoint(TINY, tmp_path / "tiny", seed=3, dtype=torch.float32, extra_files=notes)


@pytest.fixture
def rewrite(tiny: Path) -> Callable[[Change], Path]:
    """Changes the tensors of `tiny` in place; the change may return a replacement."""

    def apply(change: Change) -> Path:
        tensors = load_file(tiny / "model.safetensors")
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        changed = change(tensors)
        save_file(dict(tensors if changed is None else changed), tiny / "model.safetensors")
        return tiny

    return apply
