"""A checkpoint folder and an adapter to a checkpoint folder, one matrix after the other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from canvaslm.adapter.adapter import Adapter
from canvaslm.adapter.names import modules_of
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import released_name
from canvaslm.checkpoint.safetensors import StoredTensor
from canvaslm.checkpoint.save import Progress, TensorToWrite, carried_files, write_checkpoint
from canvaslm.errors import TensorError
from canvaslm.model.transformer import Transformer

CPU = torch.device("cpu")
FITTED = {"decisions.json"}  # on the base: another model needs its own


def merge_folder(
    source: Checkpoint,
    adapter: Adapter,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write `source` with the adapter in its weights, in their own type; returns the path.

    Sums are float32, or float64 where the weights are, and rounded once. Memory holds one matrix at
    a time. Tokenizer, template, settings and image encoder come along, temperatures of decisions do
    not. Raises TensorError for an adapter of another base, a quantised folder or a sum that is not
    finite, CheckpointError if the folder exists and may not be overwritten, StorageError if the
    disk is full; nothing half-written is left behind.
    """
    with torch.device("meta"):
        state = Transformer(source.config).state_dict()
    source.check({released_name(name): tuple(t.shape) for name, t in state.items()})
    adapter.check(source.config)
    names = {f"{module}.weight": name for name in adapter.pairs for module in modules_of(name)}
    tensors = [
        TensorToWrite.copy(stored)
        if (name := names.get(stored.name)) is None
        else TensorToWrite.of(
            stored.name,
            partial(merged, stored, adapter, name),
            torch.empty(stored.shape, dtype=stored.dtype, device="meta"),
        )
        for stored in source.tensors.values()
    ]
    carried = {n: file for n, file in carried_files(source).items() if n not in FITTED}
    return write_checkpoint(
        folder,
        config=source.raw_config,
        generation=source.generation,
        tensors=tensors,
        metadata=source.metadata,
        files=carried,
        overwrite=overwrite,
        progress=progress,
    )


def merged(stored: StoredTensor, adapter: Adapter, name: str) -> Tensor:
    """W + scale B A, in the type of W."""
    exact = torch.float64 if stored.dtype == torch.float64 else torch.float32
    change_NK = adapter.pairs[name].product(dtype=exact) * adapter.config.scale
    made = (stored.load(dtype=exact, device=CPU) + change_NK).to(stored.dtype)
    if not made.isfinite().all():
        raise TensorError(
            f"{stored.name} with the adapter in it is not finite as {stored.dtype}: merge into a "
            "checkpoint of a wider type, or take another adapter"
        )
    return made
