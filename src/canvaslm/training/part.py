"""What of a network learns, and what a run leaves behind: everything, unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from canvaslm.model.transformer import Transformer
from canvaslm.training.start import Start


class Part(Protocol):
    """The parameters that learn. A low-rank adapter is another one of these."""

    def prepare(self, model: Transformer, *, seed: int) -> Mapping[str, nn.Parameter]:
        """Freeze what stays, put in what is added; returns what learns by the names that the
        run's state has for it. The same seed gives the same first values."""
        ...

    def export(self, model: Transformer, start: Start, folder: Path, *, run: Path) -> Path:
        """Write what the run is for into `folder`, from a model that holds the final weights."""
        ...


@dataclass(frozen=True)
class Everything:
    """Every weight learns; the result is a checkpoint folder."""

    def prepare(self, model: Transformer, *, seed: int) -> Mapping[str, nn.Parameter]:
        del seed
        return dict(model.named_parameters())

    def export(self, model: Transformer, start: Start, folder: Path, *, run: Path) -> Path:
        return start.save(model, folder, run=run)
