"""New checkpoints with random weights, one tensor in memory at a time, so any size fits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canvaslm.checkpoint.describe import describe_config, published_generation
from canvaslm.checkpoint.names import released_name
from canvaslm.checkpoint.save import Progress, TensorToWrite, write_checkpoint
from canvaslm.checkpoint.vision import RELEASED_VISION, SMALLEST_VISION, vision_shapes
from canvaslm.model.config import ModelConfig
from canvaslm.model.initialise import draw, initial_tensor
from canvaslm.model.presets import PRESETS, preset
from canvaslm.model.transformer import Transformer


def new_checkpoint(
    config: ModelConfig | str,
    folder: str | Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    generation: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a randomly initialised checkpoint folder (config or preset name); returns its path.

    The weights are those `initialise` gives the same seed. The exact release gets the release's
    image encoder, any other network a minimal one. `progress` is called with the bytes written
    so far and in all. Raises ParameterError for an unknown preset, CheckpointError if the folder
    exists and may not be overwritten, StorageError if it does not fit the disk.
    """
    config = preset(config) if isinstance(config, str) else config
    vision = RELEASED_VISION if config == PRESETS["26b-a4b"] else SMALLEST_VISION
    name = str(dtype).removeprefix("torch.")
    return write_checkpoint(
        folder,
        config=describe_config(config, base={"vision_config": vision}, dtype=name),
        generation=published_generation(config) if generation is None else generation,
        tensors=[
            *new_text(config, seed=seed, dtype=dtype),
            *new_vision(vision, config.hidden_size, seed=seed, dtype=dtype),
        ],
        files=extra_files,
        overwrite=overwrite,
        progress=progress,
    )


def new_text(config: ModelConfig, *, seed: int, dtype: torch.dtype) -> list[TensorToWrite]:
    """The tensors of a randomly initialised network, drawn when they are written."""
    with torch.device("meta"):
        state = Transformer(config).to(dtype).state_dict()
    make = partial(initial_tensor, seed=seed, dtype=dtype, pad_id=config.pad_id)
    return [
        TensorToWrite.of(released_name(name), partial(make, name, tensor.shape), tensor)
        for name, tensor in state.items()
    ]


def new_vision(
    vision: Mapping[str, Any], text_size: int, *, seed: int, dtype: torch.dtype
) -> list[TensorToWrite]:
    """The tensors of a randomly initialised image encoder, drawn when they are written."""
    return [
        TensorToWrite.of(
            name,
            partial(initial_vision_tensor, name, shape, seed=seed, dtype=dtype),
            torch.empty(shape, dtype=dtype, device="meta"),
        )
        for name, shape in vision_shapes(vision, text_size).items()
    ]


def initial_vision_tensor(
    name: str, shape: tuple[int, ...], *, seed: int, dtype: torch.dtype
) -> Tensor:
    if name.endswith("std_bias"):
        return torch.zeros(shape, dtype=dtype)
    if len(shape) == 1 or name.endswith("position_embedding_table"):
        return torch.ones(shape, dtype=dtype)
    return draw(name, shape, seed=seed, dtype=dtype)
