"""Cases that belong together, and how their answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from canvaslm.eval.trials.record import Item, Record
from canvaslm.tasks import Example, Score

Belongs = Callable[[Record], bool]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The cases of one task, in order, and its scorer.

    bins  what is counted up, in this order; a case may belong to several. Empty: each to its own
    """

    name: str
    examples: Sequence[Example]
    score: Callable[[Example, str], Score]
    bins: Mapping[str, Belongs] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """The cases, numbered."""
        return [
            Item(task=self.name, number=number, example=example)
            for number, example in enumerate(self.examples)
        ]
