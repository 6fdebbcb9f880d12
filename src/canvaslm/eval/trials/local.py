"""Answers of a model in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result
from canvaslm.eval.asking import Asking
from canvaslm.eval.trials.record import Item, Reply

Answered = Sequence[tuple[Item, Reply]]


class Answerer(Protocol):
    """What is measured: an `LM`, or a fake."""

    def generate_many(
        self, prompts: Sequence[str], *, params: Params, mode: Mode, batch: int
    ) -> list[Result]:
        """Answer each prompt, `batch` of them at a time."""
        ...


@dataclass(frozen=True, kw_only=True)
class Local:
    """Asks in groups of `asking.batch`, which never cross the border of a task."""

    lm: Answerer
    clock: Callable[[], float] = time.perf_counter

    def answer(
        self, items: Sequence[Item], asking: Asking, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[Answered]:
        """A group at a time. One of which not all are `done` is asked whole: company may decide
        a rounding, so a resumed run puts each case among those it would have been among."""
        for group in groups(items, asking.batch):
            if any(item.key not in done for item in group):
                yield self._group(group, asking)

    def _group(self, group: Sequence[Item], asking: Asking) -> Answered:
        begun = self.clock()
        results = self.lm.generate_many(
            [item.example.prompt for item in group],
            params=asking.params,
            mode=asking.engine_mode,
            batch=asking.batch,
        )
        seconds = self.clock() - begun
        return [
            (
                item,
                Reply(
                    text=result.text,
                    tokens=result.usage.completion_tokens,
                    steps=result.usage.steps,
                    canvases=result.usage.canvases,
                    seconds=seconds,
                    spent=seconds / len(group),
                ),
            )
            for item, result in zip(group, results, strict=True)
        ]


def groups(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """`size` cases of one task at a time."""
    for _, found in groupby(items, key=lambda item: item.task):
        of_task = list(found)
        for start in range(0, len(of_task), size):
            yield of_task[start : start + size]
