"""The processes that share a run: one, unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from canvaslm.training.data.batch import Micro
from canvaslm.training.learner import Learner


class Group(Protocol):
    """Processes that each take some documents of a step and make the same update.

    All of them call the same methods in the same order; what one learns or fails at, all know.
    """

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        ...

    @property
    def sharded(self) -> bool:
        """Whether each process holds only its share of every weight."""
        ...

    @property
    def scale(self) -> float:
        """What a loss is multiplied by, so that gradients add up to those of the whole step."""
        ...

    def place(self, device: str) -> str:
        """The device of this process."""
        ...

    def spread(self, learner: Learner) -> Learner:
        """The learner whose gradients come from all processes."""
        ...

    def settle(self, learner: Learner) -> None:
        """Let go of whole weights that were put together for a pass: shares will change."""
        ...

    def share(self, micros: Sequence[Micro]) -> Sequence[Micro]:
        """This process's part of every micro-batch; weights are those of the whole step."""
        ...

    def learning(self, learner: Learner, *, last: bool) -> AbstractContextManager[object]:
        """Around one micro-batch; gradients need to be complete after the `last`."""
        ...

    def total(self, record: dict[str, float]) -> dict[str, float]:
        """Add up what each process logs."""
        ...

    def whole(self, tensor: Tensor) -> Tensor:
        """All of a tensor of which this process may hold a share."""
        ...

    def cut(self, tensor: Tensor, like: Tensor) -> Tensor:
        """The share of a whole tensor that this process holds of `like`."""
        ...

    def agree(self, problem: Exception | None) -> None:
        """Raise `problem`; where another process has one, raise a TrainingError with its reason."""
        ...

    def in_turn(self) -> AbstractContextManager[object]:
        """A block that the leading process has done before the others begin it."""
        ...

    def together(self) -> AbstractContextManager[object]:
        """Around a run: if one process fails, the others end with its reason."""
        ...

    def stopping(self) -> bool:
        """Whether any process was told to stop (Ctrl-C)."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process."""

    leads: bool = True
    sharded: bool = False
    scale: float = 1.0

    def place(self, device: str) -> str:
        return device

    def spread(self, learner: Learner) -> Learner:
        return learner

    def settle(self, learner: Learner) -> None:
        del learner

    def share(self, micros: Sequence[Micro]) -> Sequence[Micro]:
        return micros

    def learning(self, learner: Learner, *, last: bool) -> AbstractContextManager[object]:
        del learner, last
        return nullcontext()

    def total(self, record: dict[str, float]) -> dict[str, float]:
        return record

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor

    def cut(self, tensor: Tensor, like: Tensor) -> Tensor:
        del like
        return tensor

    def agree(self, problem: Exception | None) -> None:
        if problem is not None:
            raise problem

    def in_turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def together(self) -> AbstractContextManager[object]:
        return nullcontext()

    def stopping(self) -> bool:
        return False
