"""Python functions to complete, or with a gap to fill: real ones and textbook ones."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from canvaslm.tasks import code_stdlib, code_textbook
from canvaslm.tasks.code_gaps import Remove, remove_end, remove_lines, remove_span
from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

GAP = "<gap>"
FILL = "Fill the gap:\n"
COMPLETE = "Complete this function:\n"

MOST_ASKED = 180
"""Characters of the longest answer."""

_LONGEST = 4000
_REMOVE: dict[str, Remove] = {"fill": remove_lines, "span": remove_span, "complete": remove_end}


def fill_prompt(before: str, after: str) -> str:
    """How the task asks for the text of a gap."""
    return f"{FILL}{before}{GAP}{after}"


def completion_prompt(before: str) -> str:
    """How the task asks for what follows; the line break before it is not part of the question."""
    return COMPLETE + before.removesuffix("\n")


@dataclass(frozen=True, kw_only=True)
class Code:
    """The task. Nothing is ever executed: answers are compared and parsed."""

    name: ClassVar[str] = "code"
    bins: ClassVar[tuple[str, ...]] = (
        "fill",
        "span",
        "complete",
        "textbook-fill",
        "textbook-span",
        "textbook-complete",
    )

    library: Path | None = None  # a folder of Python source; None: the standard library

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A function with a gap: whole lines in the middle, the last ones, or any span of text."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        remove = _REMOVE[chosen.removeprefix("textbook-")]
        while True:
            if chosen.startswith("textbook"):
                source, canonical = take_textbook(rng, split)
            else:
                source, canonical = rng.choice(code_stdlib.functions(split, self.library))
            gap = remove(source, rng)
            if gap is not None and len(gap.answer) <= MOST_ASKED:
                break
        return Example(
            task=self.name,
            prompt=completion_prompt(gap.before)
            if remove is remove_end
            else fill_prompt(gap.before, gap.after),
            answer=gap.answer,
            bin=chosen,
            canonical=canonical,
            after=gap.after,
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` is what is missing, trailing white space aside."""
        exact = text.rstrip() == example.answer.rstrip()
        compiles = exact or parses(self.assembled(example, text))
        return Score(correct=exact, details={"compiles": float(compiles), "exact": float(exact)})

    def assembled(self, example: Example, text: str) -> str:
        """The whole function with `text` in the place of the missing lines."""
        if example.prompt.startswith(FILL):
            kept = text if example.bin.endswith("span") else text.rstrip()
            return example.prompt.removeprefix(FILL).replace(GAP, kept)
        text = text.rstrip()
        return f"{example.prompt.removeprefix(COMPLETE)}\n{text}"


def take_textbook(rng: random.Random, split: Split) -> tuple[str, str]:
    """(source, canonical) of a random textbook function on one side."""
    while True:
        source = code_textbook.function(rng)
        canonical = code_stdlib.canonical(source)
        if split_of(canonical) == split:
            return source, canonical


def parses(source: str) -> bool:
    """Whether `source` is Python, and of a length that a function has."""
    if len(source) > _LONGEST:
        return False
    try:
        code_stdlib.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
