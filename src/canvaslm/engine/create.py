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
from canvaslm.checkpoint.quantised_config import KEY
from canvaslm.checkpoint.save import Progress, TensorToWrite, write_checkpoint
from canvaslm.checkpoint.vision import RELEASED_VISION, SMALLEST_VISION, vision_shapes
from canvaslm.engine.quantised.synthetic import synthetic_text
from canvaslm.errors import CheckpointError, ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.model.initialise import draw, initial_tensor
from canvaslm.model.presets import PRESETS, preset
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import Scheme, scheme_of
from canvaslm.text.tokenizer import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def new_checkpoint(
    config: ModelConfig | str,
    folder: str | Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    generation: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes | Path] | None = None,
    quant: str | Scheme | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a randomly initialised checkpoint folder (config or preset name); returns its path.

    The weights are those `initialise` gives the same seed. The exact release gets the release's
    image encoder, any other network a minimal one. With `quant`, the name of a scheme or one, the
    folder is in the layout of `canvaslm quantize`, its weights are made up in that precision, in
    bfloat16 where the scheme keeps floats, and the image encoder is minimal. `progress` is called
    with the bytes written so far and in all. Raises ParameterError for an unknown preset or scheme
    or a dtype beside it, CheckpointError if the folder exists and may not be overwritten,
    StorageError if it does not fit the disk.
    """
    config = preset(config) if isinstance(config, str) else config
    released = config == PRESETS["26b-a4b"] and quant is None
    vision = RELEASED_VISION if released else SMALLEST_VISION
    name = str(dtype).removeprefix("torch.")
    described = describe_config(config, base={"vision_config": vision}, dtype=name)
    if quant is None:
        text = new_text(config, seed=seed, dtype=dtype)
    else:
        if dtype != torch.bfloat16:
            raise ParameterError(
                f"dtype={name} would have no effect with quant, which keeps bfloat16 beside its "
                "rounded weights: leave it out"
            )
        text, described[KEY] = synthetic_text(config, scheme_of(quant), seed=seed)
    return write_checkpoint(
        folder,
        config=described,
        generation=published_generation(config) if generation is None else generation,
        tensors=[*text, *new_vision(vision, config.hidden_size, seed=seed, dtype=dtype)],
        files=extra_files,
        overwrite=overwrite,
        progress=progress,
    )


def tokenizer_files(folder: str | Path, config: ModelConfig) -> dict[str, bytes | Path]:
    """The files of a folder's tokenizer, for `extra_files`.

    Raises CheckpointError if there is none or it cannot be read, ParameterError if it has more
    tokens than the network.
    """
    folder = Path(folder).expanduser()
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer is None:
        raise CheckpointError(f"{folder} holds no tokenizer.json: give a folder with a tokenizer")
    if tokenizer.vocab_size > config.vocab_size:
        raise ParameterError(
            f"the tokenizer of {folder} has {tokenizer.vocab_size:,} tokens, the network "
            f"{config.vocab_size:,}: choose a preset with a larger vocabulary"
        )
    return {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}


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
