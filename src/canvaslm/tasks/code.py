"""Python functions to complete, or with a gap to fill: real ones and textbook ones."""

import ast
import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from canvaslm.tasks import code_stdlib, code_textbook
from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

GAP = "<gap>"
FILL = "Fill the gap:\n"
COMPLETE = "Complete this function:\n"

_MOST_GAP_LINES = 3
_MOST_ASKED = 180
_LONGEST = 4000


@dataclass(frozen=True, kw_only=True)
class Code:
    """The task. Nothing is ever executed: answers are compared and parsed."""

    name: ClassVar[str] = "code"
    bins: ClassVar[tuple[str, ...]] = ("fill", "complete", "textbook-fill", "textbook-complete")

    library: Path | None = None  # a folder of Python source; None: the standard library

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A function with some whole lines missing: some in the middle, or the last ones."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        remove = _remove_gap if chosen.endswith("fill") else _remove_end
        while True:
            if chosen.startswith("textbook"):
                source, canonical = _take_textbook(rng, split)
            else:
                source, canonical = rng.choice(code_stdlib.functions(split, self.library))
            removed = remove(source.split("\n"), rng)
            if removed is not None:
                break
        prompt, answer = removed
        return Example(
            task=self.name, prompt=prompt, answer=answer, bin=chosen, canonical=canonical
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` is the missing lines, trailing white space aside."""
        exact = text.rstrip() == example.answer.rstrip()
        compiles = exact or _parses(self.assembled(example, text))
        return Score(correct=exact, details={"compiles": float(compiles), "exact": float(exact)})

    def assembled(self, example: Example, text: str) -> str:
        """The whole function with `text` in the place of the missing lines."""
        text = text.rstrip()
        if example.prompt.startswith(FILL):
            return example.prompt.removeprefix(FILL).replace(GAP, text)
        return f"{example.prompt.removeprefix(COMPLETE)}\n{text}"


def _take_textbook(rng: random.Random, split: Split) -> tuple[str, str]:
    while True:
        source = code_textbook.function(rng)
        canonical = code_stdlib.canonical(source)
        if split_of(canonical) == split:
            return source, canonical


def _remove_gap(lines: list[str], rng: random.Random) -> tuple[str, str] | None:
    """Prompt and answer with 1 to 3 lines of the body missing; None: they are too long."""
    body = _body_start(lines)
    count = rng.randint(1, min(_MOST_GAP_LINES, len(lines) - body))
    first = rng.randint(body, len(lines) - count)
    answer = "\n".join(lines[first : first + count])
    if len(answer) > _MOST_ASKED:
        return None
    return FILL + "\n".join([*lines[:first], GAP, *lines[first + count :]]), answer


def _remove_end(lines: list[str], rng: random.Random) -> tuple[str, str] | None:
    """Prompt and answer with the last lines of the body missing; None: they are too long."""
    body = _body_start(lines)
    first = rng.randint(body, len(lines) - 1)
    answer = "\n".join(lines[first:])
    if len(answer) > _MOST_ASKED:
        return None
    return COMPLETE + "\n".join(lines[:first]), answer


def _body_start(lines: list[str]) -> int:
    """The index of the first line after the signature."""
    function = code_stdlib.parse("\n".join(lines)).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return function.body[0].lineno - 1


def _parses(source: str) -> bool:
    if len(source) > _LONGEST:
        return False
    try:
        code_stdlib.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
