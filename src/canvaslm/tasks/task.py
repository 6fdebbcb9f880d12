"""What a task is: it makes examples of a split and a bin, and scores an answer."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

from canvaslm.errors import TaskError

Split = Literal["train", "test"]

HELD_OUT = 20
"""One canonical case in this many belongs to the test split."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One case: what is asked, one right answer, and the key that decides its split."""

    task: str
    prompt: str  # the user turn
    answer: str  # one right answer, as text
    bin: str  # one of the task's bins
    canonical: str  # the case up to what does not matter
    after: str = ""  # what follows the answer in its document, where it fills a gap


@dataclass(frozen=True, kw_only=True)
class Score:
    """A verdict: the task's headline metric, and parts of it between 0 and 1."""

    correct: bool
    details: Mapping[str, float] = field(default_factory=dict)


class Task(Protocol):
    """A generator and a scorer. Equal states of `rng` give equal examples."""

    @property
    def name(self) -> str:
        """What `canvaslm.tasks.get` knows the task by."""
        ...

    @property
    def bins(self) -> tuple[str, ...]:
        """The kinds of example, each reported on its own."""
        ...

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """Draw one example; without `bin`, of a random one. TaskError: no such split or bin."""
        ...

    def score(self, example: Example, text: str) -> Score:
        """Judge `text` as the answer to `example`. Never raises, whatever the text holds."""
        ...


def split_of(canonical: str) -> Split:
    """The side a case lies on, by hash: the same on every machine and in every process."""
    digest = hashlib.blake2b(canonical.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % HELD_OUT == 0 else "train"


def check_request(task: Task, *, split: str, bin: str | None) -> None:
    """Refuse a split or bin that `task` does not have. Raises TaskError."""
    if split not in get_args(Split):
        raise TaskError(f"split {split!r} does not exist: use one of {', '.join(get_args(Split))}")
    if bin is not None and bin not in task.bins:
        names = ", ".join(task.bins)
        raise TaskError(f"task {task.name} has no bin {bin!r}: use one of {names}")
