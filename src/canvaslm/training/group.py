"""The processes that share a run: one, unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.training.data.batch import Micro


class Group(Protocol):
    """Processes that each take some micro-batches of a step and make the same update."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        ...

    def share(self, micros: Sequence[Micro]) -> Sequence[Micro]:
        """This process's micro-batches. Weights are those of the whole step: gradients add up."""
        ...

    def join(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in place."""
        ...

    def total(self, record: dict[str, float]) -> dict[str, float]:
        """Add up what each process logs."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process."""

    leads: bool = True

    def share(self, micros: Sequence[Micro]) -> Sequence[Micro]:
        return micros

    def join(self, parameters: Iterable[Tensor]) -> None:
        del parameters

    def total(self, record: dict[str, float]) -> dict[str, float]:
        return record
