"""What of a network learns, and what a run leaves behind: everything, or a low-rank adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import nn

from canvaslm.adapter.config import DENSE, AdapterConfig, Target
from canvaslm.adapter.files import save_adapter
from canvaslm.adapter.wear import adapter_of, attach
from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Transformer
from canvaslm.training.start import Start


class Part(Protocol):
    """The parameters that learn."""

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
        if not all(parameter.requires_grad for parameter in model.parameters()):
            raise TrainingError(
                "weights of few bits cannot learn: train an adapter on them, part=LowRank(rank=16)"
            )
        return dict(model.named_parameters())

    def export(self, model: Transformer, start: Start, folder: Path, *, run: Path) -> Path:
        return start.save(model, folder, run=run)


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """Two thin matrices beside each of the `targets` learn; the result is a PEFT folder.

    The base stays as it is, so neither the run's state nor the optimiser holds any of it. What
    the settings mean: `canvaslm.adapter.config.AdapterConfig`.
    """

    rank: int = 8
    alpha: float = 16.0
    rslora: bool = False
    targets: tuple[Target, ...] = DENSE

    def __post_init__(self) -> None:
        _ = self.config

    @cached_property
    def config(self) -> AdapterConfig:
        """Raises ParameterError for settings that cannot be."""
        return AdapterConfig(
            rank=self.rank, alpha=self.alpha, rslora=self.rslora, targets=tuple(self.targets)
        )

    def prepare(self, model: Transformer, *, seed: int) -> Mapping[str, nn.Parameter]:
        return attach(model, self.config, seed=seed)

    def export(self, model: Transformer, start: Start, folder: Path, *, run: Path) -> Path:
        del run
        adapter = adapter_of(model, self.config, base=start.base)
        return save_adapter(adapter, folder, overwrite=True)
