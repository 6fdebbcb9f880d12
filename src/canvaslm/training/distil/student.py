"""A checkpoint that goes on as its own student: exported with fewer steps a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from canvaslm.engine.load import save_model
from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Transformer
from canvaslm.training.start import Base, copy_of


@dataclass(frozen=True)
class Student(Base):
    """A checkpoint to start from. What is saved says that a canvas takes at most `max_steps`."""

    max_steps: int

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise TrainingError(f"max_steps must be at least 1, got {self.max_steps!r}")

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        del run
        return save_model(
            copy_of(model, self.checkpoint.dtype),
            folder,
            source=self.checkpoint,
            generation={**self.checkpoint.generation, "max_denoising_steps": self.max_steps},
            overwrite=True,
        )
