"""One case of a run: what was asked, what came, how it was judged, and what it took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from canvaslm.errors import CorruptFileError
from canvaslm.tasks import Example, Score


@dataclass(frozen=True, kw_only=True)
class Item:
    """A case to be asked: the `number`-th of its task, counted from 0."""

    task: str
    number: int
    example: Example

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all other cases of a run."""
        return self.task, self.number


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer and what it took; `steps` and `canvases` are None where a server does not say.

    seconds  from the question to the answer
    spent    its share of the time that the whole run has taken
    """

    text: str
    tokens: int
    steps: int | None
    canvases: int | None
    seconds: float
    spent: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """A case, answered and judged: one line of a run's file. Fields are as in Item and Reply."""

    task: str
    number: int
    bin: str
    prompt: str
    expected: str
    answer: str
    correct: bool
    details: Mapping[str, float] = field(default_factory=dict)
    tokens: int
    steps: int | None
    canvases: int | None
    seconds: float
    spent: float
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        """That of its Item."""
        return self.task, self.number

    def line(self) -> str:
        """One line of JSON, its end included."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def judged(item: Item, reply: Reply, score: Score, *, seed: int) -> Record:
    """The record of an answer."""
    values = asdict(reply)
    return Record(
        task=item.task,
        number=item.number,
        bin=item.example.bin,
        prompt=item.example.prompt,
        expected=item.example.answer,
        answer=values.pop("text"),
        correct=score.correct,
        details=score.details,
        seed=seed,
        **values,
    )


_NAMES = {field.name for field in fields(Record)}


def read(line: str, *, where: str) -> Record:
    """A record of a line; `where` names it in a complaint. Raises CorruptFileError."""
    try:
        values: Any = json.loads(line)
    except ValueError as error:
        raise CorruptFileError(f"{where} is not JSON: {error}") from None
    if not isinstance(values, dict) or set(values) != _NAMES:
        raise CorruptFileError(f"{where} is not a case of an evaluation: expected {sorted(_NAMES)}")
    return Record(**values)
