"""A run: every case that is not answered yet is asked, judged, and kept at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from canvaslm.errors import ParameterError
from canvaslm.eval.asking import Asking
from canvaslm.eval.trials.local import Answered
from canvaslm.eval.trials.record import Item, Record, judged
from canvaslm.eval.trials.suite import Suite

Keep = Callable[[Sequence[Record]], None]
Progress = Callable[[int, int], None]


class Asked(Protocol):
    """A model that is asked: here, or behind a server."""

    def answer(
        self, items: Sequence[Item], asking: Asking, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[Answered]:
        """Answers as they come, to all cases that are not `done`, in any order."""
        ...


def answer(
    suites: Sequence[Suite],
    asked: Asked,
    asking: Asking,
    *,
    known: Sequence[Record] = (),
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """The records of all cases in their order: the `known` ones as they are, and new ones, which
    `keep` is given as they come; `progress` is called with cases done, and correct.

    Raises ParameterError for known ones that are of other cases.
    """
    items = [item for suite in suites for item in suite.items]
    scorers = {suite.name: suite.score for suite in suites}
    found = {record.key: record for record in known}
    check_same(items, found)
    tell = progress or (lambda done, right: None)
    if found:
        tell(len(found), sum(record.correct for record in found.values()))
    for group in asked.answer(items, asking, frozenset(found)):
        new = [
            judged(item, reply, scorers[item.task](item.example, reply.text), seed=asking.seed)
            for item, reply in group
            if item.key not in found
        ]
        if keep is not None:
            keep(new)
        found |= {record.key: record for record in new}
        tell(len(found), sum(record.correct for record in found.values()))
    return [found[item.key] for item in items]


def check_same(items: Sequence[Item], found: dict[tuple[str, int], Record]) -> None:
    """Refuse records that do not belong to these cases. Raises ParameterError."""
    asked = {item.key: item.example for item in items}
    for (task, number), record in found.items():
        case = asked.get((task, number))
        if case is None or (case.prompt, case.answer) != (record.prompt, record.expected):
            raise ParameterError(
                f"case {number} of {task} in the run's folder is not the one that would be asked "
                "now: the tasks or their data have changed since; start in another folder"
            )
