"""Cases that belong together, and how their answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canvaslm.eval.trials.record import Item
from canvaslm.tasks import Example, Score


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The cases of one task, in order, and its scorer."""

    name: str
    examples: Sequence[Example]
    score: Callable[[Example, str], Score]

    @property
    def items(self) -> list[Item]:
        """The cases, numbered."""
        return [
            Item(task=self.name, number=number, example=example)
            for number, example in enumerate(self.examples)
        ]
