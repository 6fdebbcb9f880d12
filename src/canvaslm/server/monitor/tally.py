"""What one HTTP request has taken, for its line in the log and for the metrics."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.events import Done, Text
from canvaslm.engine.result import Result, Usage
from canvaslm.engine.rewriting.document import InfilledDocument
from canvaslm.engine.rewriting.edit import Edited
from canvaslm.engine.rewriting.infill import Infilled
from canvaslm.server.errors import UNEXPECTED, ApiError


@dataclass(kw_only=True)
class Tally:
    """Mutable: it grows as values of the request go by.

    `begun` and `first` are when it came and when its first text was there; `failure` is the code of
    the error that it ended with, also of a stream, whose status says 200; `trace` is that of an
    error that nobody expected. `tokens` were written; `usages` are those of its answers.
    """

    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    first: float | None = None
    tokens: int = 0
    prompt_tokens: int = 0
    steps: int = 0
    usages: list[Usage] = field(default_factory=list)
    failure: str | None = None
    trace: str | None = None
    body: bytes | None = None

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def fail(self, error: BaseException, answer: ApiError) -> None:
        """Note what went wrong; of an error that nobody expected, where, too."""
        self.failure = answer.code or answer.kind
        if answer.code == UNEXPECTED:
            self.trace = "".join(traceback.format_exception(error))

    def see(self, value: object) -> None:
        """Count a value of the request, or a tuple that has one in it."""
        match value:
            case tuple():
                for one in value:
                    self.see(one)
            case Text():
                self._text()
            case Done(result=result):
                self._answered(result)
            case Result():
                self._answered(value)
            case Infilled():
                self._took(value.gap_tokens, prompt=value.prompt_tokens, steps=value.steps)
            case InfilledDocument(fills=fills):
                self.see(tuple(fills))
            case Edited():
                self._took(value.tokens, prompt=value.prompt_tokens, steps=value.steps)
            case Decisions():
                self._took(0, prompt=value.input_tokens, steps=value.passes)

    def _text(self) -> None:
        if self.first is None:
            self.first = self.clock()

    def _answered(self, result: Result) -> None:
        for choice in result.choices:
            usage = choice.usage
            self._took(usage.completion_tokens, prompt=usage.prompt_tokens, steps=usage.steps)
            self.usages.append(usage)

    def _took(self, tokens: int, *, prompt: int, steps: int) -> None:
        self._text()
        self.tokens += tokens
        self.prompt_tokens += prompt
        self.steps += steps
