"""Checkpoint folders to networks and back: never twice in memory, never half-written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canvaslm.checkpoint.describe import describe_config, published_generation
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import is_encode_scalar, is_vision, released_name
from canvaslm.checkpoint.save import Progress, TensorToWrite, carried_files, write_checkpoint
from canvaslm.checkpoint.vision import SMALLEST_VISION
from canvaslm.engine.create import new_vision
from canvaslm.engine.quantised.read import quantise_model, read_state
from canvaslm.kernels.choose import operations
from canvaslm.model.native import Native
from canvaslm.model.transformer import Transformer
from canvaslm.model.weights import weights_of
from canvaslm.quant.scheme import Scheme, scheme_of


def load_model(
    checkpoint: Checkpoint, *, device: torch.device, dtype: torch.dtype | None = None
) -> Transformer:
    """The network with the checkpoint's weights, in evaluation mode.

    It is built without memory first. On the CPU in the file's own type (`dtype` None, or equal)
    its weights are views of the mapped file: they cost memory as they are used, and the file must
    stay in place. Otherwise each tensor is converted in pieces of a few megabytes. Raises
    TensorError naming tensors that are missing, surplus or of the wrong shape or type.
    """
    with torch.device("meta"):
        model = Transformer(checkpoint.config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    checkpoint.check({released_name(name): shape for name, shape in shapes.items()})
    wanted = checkpoint.dtype if dtype is None else dtype
    state = {name: load_tensor(checkpoint, name, device=device, dtype=wanted) for name in shapes}
    model.load_state_dict(state, assign=True)
    return model.eval()


def load_tensor(
    checkpoint: Checkpoint, name: str, *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """One network parameter; an encoder scalar that the file leaves out is the decoder's."""
    released = released_name(name)
    if is_encode_scalar(released) and released not in checkpoint.tensors:
        released = released_name(name.replace("encode_scalar", "denoise_scalar"))
    return checkpoint.tensors[released].load(dtype=dtype, device=device)


def load_native(
    checkpoint: Checkpoint, *, quant: str | Scheme | None = None, progress: Progress | None = None
) -> Native:
    """The network on compiled operations, its weights as the folder has them or rounded now.

    Raises what `read_state` and `quantise_model` do.
    """
    if quant is None:
        state = read_state(checkpoint, progress=progress)
    else:
        state = quantise_model(checkpoint, scheme_of(quant), progress=progress)
    config = checkpoint.config
    return Native(config, weights_of(config, state), operations())


def save_model(
    model: Transformer,
    folder: str | Path,
    *,
    source: Checkpoint | None = None,
    generation: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the network as a checkpoint folder that transformers loads too; returns its path.

    From `source` come the image encoder, tokenizer, template, cards, unknown metadata and, unless
    given, the generation settings; without it the published settings and a minimal image encoder
    are written. Raises CheckpointError if the folder exists and may not be overwritten,
    StorageError if the disk is full; then nothing is left behind.
    """
    state = model.state_dict()
    dtype = model.embedding.dtype
    tensors = [
        TensorToWrite.of(released_name(name), tensor.detach, tensor)
        for name, tensor in state.items()
    ]
    if source is None:
        base: Mapping[str, Any] = {"vision_config": SMALLEST_VISION}
        tensors += new_vision(SMALLEST_VISION, model.config.hidden_size, seed=0, dtype=dtype)
    else:
        base = source.raw_config
        tensors += [TensorToWrite.copy(t) for t in source.tensors.values() if is_vision(t.name)]
    if generation is None:
        generation = source.generation if source else published_generation(model.config)
    return write_checkpoint(
        folder,
        config=describe_config(model.config, base=base, dtype=str(dtype).removeprefix("torch.")),
        generation=generation,
        tensors=tensors,
        metadata=source.metadata if source else None,
        files=(carried_files(source) if source else {}) | dict(extra_files or {}),
        overwrite=overwrite,
        progress=progress,
    )
