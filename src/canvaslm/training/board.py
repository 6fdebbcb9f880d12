"""TensorBoard: every number of every step, for those who ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from canvaslm.errors import TrainingError


class Board(Protocol):
    """Takes what each step logged."""

    def write(self, record: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class NoBoard:
    """Takes nothing."""

    def write(self, record: dict[str, float]) -> None:
        del record

    def close(self) -> None:
        """Nothing is open."""


class TensorBoard:
    """Event files in `folder`. Raises TrainingError where tensorboard is not installed."""

    def __init__(self, folder: Path, *, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "TensorBoard is not installed: pip install 'canvaslm[train]', or train without it"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def write(self, record: dict[str, float]) -> None:
        for name, value in record.items():
            if name != "step":
                step = int(record["step"])
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
