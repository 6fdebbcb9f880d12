"""A run's state on disk: tensors in safetensors, written beside the old file and renamed."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from canvaslm.errors import StorageError, TrainingError

STATE = "state.safetensors"


def save_state(folder: Path, tensors: dict[str, Tensor], step: int) -> None:
    """Write the state atomically. Raises StorageError and keeps the old one."""
    temporary, final = folder / f"{STATE}.new", folder / STATE
    try:
        contiguous = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        save_file(contiguous, temporary, metadata={"step": str(step)})
        os.replace(temporary, final)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot save the training state to {final}: {error}; the last saved state is "
            "untouched: free some space and run again with --resume"
        ) from error


def load_state(folder: Path) -> tuple[dict[str, Tensor], int]:
    """The tensors and the step of the last save. Raises TrainingError if the file is damaged."""
    path = folder / STATE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, int(metadata["step"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path} is no training state: {error}; delete it, or start a new run in another folder"
        ) from error
