"""A run's state on disk: tensors in safetensors, written beside the old file and renamed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from canvaslm.errors import StorageError, TrainingError

STATE = "state.safetensors"


def save_state(
    folder: Path, tensors: Mapping[str, Tensor], step: int, *, name: str = STATE
) -> None:
    """Write the state atomically. Raises StorageError and keeps the old one."""
    temporary, final = folder / f"{name}.new", folder / name
    try:
        contiguous = {key: tensor.contiguous().cpu() for key, tensor in tensors.items()}
        save_file(contiguous, temporary, metadata={"step": str(step)})
        flush(temporary)
        os.replace(temporary, final)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot save the training state to {final}: {error}; the last saved state is "
            "untouched: free some space and run again with --resume"
        ) from error


def load_state(folder: Path, *, name: str = STATE) -> tuple[dict[str, Tensor], int]:
    """The tensors and the step of the last save. Raises TrainingError if the file is damaged."""
    path = folder / name
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            return {key: file.get_tensor(key) for key in names}, int(metadata["step"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path} is no training state: {error}; delete it, or start a new run in another folder"
        ) from error


def saved_step(folder: Path) -> int | None:
    """How many steps the saved state has behind it; None where there is none to go on with."""
    try:
        with safe_open(folder / STATE, framework="pt") as file:
            return int((file.metadata() or {})["step"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def flush(path: Path) -> None:
    """Wait until a file is on the disk: a name must never come to stand for half of it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
