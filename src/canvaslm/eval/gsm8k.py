"""GSM8K from a file that a user gives: the question asked, the last number compared."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from canvaslm.errors import ParameterError
from canvaslm.eval.trials.suite import Suite
from canvaslm.tasks import Example, Score

NAME = "gsm8k"
_NUMBER = re.compile(r"-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_MARK = "####"
_BINS = ("no step", "1 step", *(f"{n} steps" for n in range(2, 8)), "8 steps or more")
_WORDS = "\nGive the answer as a number at the end."


def read_gsm8k(file: Path, *, n: int | None = None) -> Suite:
    """The first `n` questions of a JSONL file of openai/grade-school-math, or all.

    Each line has `question` and `answer`, whose last line is `#### NUMBER`. Bins are how many
    lines the worked answer has. Raises ParameterError, which names the line.
    """
    if n is not None and n < 1:
        raise ParameterError(f"n must be at least 1, got {n}")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ParameterError(f"{file} does not exist: give GSM8K's test.jsonl") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file} cannot be read: {error}") from None
    examples = [
        _example(line, where=f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not examples:
        raise ParameterError(f"{file} is empty: expected a line of JSON for each question")
    return Suite(name=NAME, examples=examples[:n], score=score)


def _example(line: str, *, where: str) -> Example:
    try:
        values: Any = json.loads(line)
    except ValueError as error:
        raise ParameterError(f"{where} is not JSON: {error}") from None
    if not isinstance(values, dict) or not all(
        isinstance(values.get(name), str) for name in ("question", "answer")
    ):
        raise ParameterError(f"{where} needs texts `question` and `answer`, got {line[:80]!r}")
    worked, mark, final = values["answer"].rpartition(_MARK)
    if not mark or last_number(final) is None:
        raise ParameterError(f"{where}: the answer does not end with `{_MARK} NUMBER`")
    steps = min(len(_BINS) - 1, len(worked.strip().splitlines()))
    return Example(
        task=NAME,
        prompt=values["question"].strip() + _WORDS,
        answer=final.strip(),
        bin=_BINS[steps],
        canonical=values["question"],
    )


def score(example: Example, text: str) -> Score:
    """Right when the last number of `text` is the answer, however it is written."""
    said = last_number(text)
    right = last_number(example.answer)
    return Score(
        correct=said is not None and said == right, details={"number": float(said is not None)}
    )


def last_number(text: str) -> Decimal | None:
    """The last number in a text; commas and a dollar sign aside."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    try:
        return Decimal(found[-1].replace(",", "").replace("$", ""))
    except InvalidOperation:
        return None
