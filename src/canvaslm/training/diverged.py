"""A run that came to a number that is none: what it learnt from last, kept to be looked at."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from canvaslm.errors import DivergedError, StorageError
from canvaslm.training.data.batch import Micro

BATCH = "diverged.safetensors"


def diverged(step: int, micro: Micro, problem: str) -> DivergedError:
    """The error of a step in which a number is not finite; nothing was updated."""
    return DivergedError(
        f"not finite at step {step}, {micro.name}: {problem}. Lower the learning rates, or go on "
        "from the last saved state with --resume",
        batch=micro.batch.tensors,
    )


def keep_batch(error: DivergedError, folder: Path) -> DivergedError:
    """Save the batch into `folder`; returns an error that says where. Raises StorageError."""
    path = folder / BATCH
    tensors = {name: value.contiguous() for name, value in error.batch.items()}
    try:
        save_file(tensors, path)
    except (OSError, SafetensorError) as failure:
        raise StorageError(f"cannot write {path}: {failure}; {error}") from error
    return DivergedError(f"{error}. Its batch is in {path}", batch=error.batch)
