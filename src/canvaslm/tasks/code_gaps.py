"""Gaps in the body of a function: whole lines, any span of text, or all to the end."""

import ast
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from canvaslm.tasks.code_stdlib import parse


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A function in three pieces: `before + answer + after` is its source. Whole lines that are
    missing leave the line breaks around them standing."""

    before: str
    answer: str
    after: str

    @property
    def source(self) -> str:
        """The whole function."""
        return self.before + self.answer + self.after


Remove: TypeAlias = Callable[[str, random.Random], Gap | None]
"""Makes a gap in a function's source; None where this one has no room for it."""


def remove_lines(source: str, rng: random.Random, *, fewest: int = 1, most: int = 3) -> Gap | None:
    """`fewest` to `most` lines of the body are missing, as far as it has so many."""
    lines, body = source.split("\n"), _body_start(source)
    if len(lines) - body < fewest:
        return None
    count = rng.randint(fewest, min(most, len(lines) - body))
    first = rng.randint(body, len(lines) - count)
    return _gap(
        "".join(f"{line}\n" for line in lines[:first]),
        "\n".join(lines[first : first + count]),
        "".join(f"\n{line}" for line in lines[first + count :]),
    )


def remove_span(source: str, rng: random.Random) -> Gap | None:
    """A span of the body is missing that begins and ends anywhere."""
    start = len("\n".join(source.split("\n")[: _body_start(source)])) + 1
    first, end = sorted(rng.sample(range(start, len(source) + 1), 2))
    return _gap(source[:first], source[first:end], source[end:])


def remove_end(source: str, rng: random.Random) -> Gap | None:
    """The last lines of the body are missing."""
    lines = source.split("\n")
    first = rng.randint(_body_start(source), len(lines) - 1)
    return _gap("".join(f"{line}\n" for line in lines[:first]), "\n".join(lines[first:]), "")


def _gap(before: str, answer: str, after: str) -> Gap | None:
    return Gap(before=before, answer=answer, after=after) if answer.strip() else None


def _body_start(source: str) -> int:
    """The index of the first line after the signature."""
    function = parse(source).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return function.body[0].lineno - 1
