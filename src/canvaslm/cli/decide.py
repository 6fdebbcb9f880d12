"""`canvaslm decide`: typed questions about a state, answered with probabilities."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from rich.table import Table

    from canvaslm import Decisions
    from canvaslm.engine.decide.answers import Answer
    from canvaslm.engine.decide.formats import Questions
    from canvaslm.engine.decide.questions import Question

BAR = 24
"""Columns of a probability of 1."""

Method = Annotated[
    Literal["denoise", "causal"],
    typer.Option(help="Read one pass over a small canvas, or the next token left to right."),
]
Orders = Annotated[int, typer.Option(help="Orders of the options of --choice to average over.")]
DividePrior = Annotated[
    bool, typer.Option("--divide-prior", help="Divide by the answers without the state.")
]


def decide(
    *,
    state: Annotated[
        Path | None,
        typer.Argument(help="A file with the state; without it, standard input."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            "-q",
            help="A JSON file: an object as System One's, or a list as OpenAI's.",
        ),
    ] = None,
    yes_no: Annotated[
        list[str] | None, typer.Option("--yes-no", help='"Is it urgent?"; may be repeated.')
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option("--choice", help='"Which team? billing, support"')
    ] = None,
    score: Annotated[
        list[str] | None, typer.Option("--score", help='"How angry? calm, annoyed, furious"')
    ] = None,
    method: Method = "denoise",
    orders: Orders = 1,
    divide_prior: DividePrior = False,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Temperatures.", show_default="those beside the checkpoint"),
    ] = None,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Answer questions about STATE with probabilities; nothing is generated."""
    from canvaslm.engine.decide.calibration import Calibration
    from canvaslm.engine.decide.formats import read_questions

    asked = _questions(questions, yes_no or [], choice or [], score or [])
    named = read_questions(asked)
    temperatures = None if calibration is None else Calibration.read(calibration)
    text = read_text(state)
    lm = source.load()
    if temperatures is not None:
        lm.calibration = temperatures
    found = lm.decide(text, asked, method=method, orders=orders, divide_prior=divide_prior)
    if as_json:
        output.write_json(_document(found, listed=isinstance(asked, list)))
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(named, found))


def read_text(file: Path | None) -> str:
    """A file's text, or standard input's, without line ends after it. Raises ParameterError."""
    if file is None and sys.stdin.isatty():
        raise ParameterError("no state: name a file, or pipe one in")
    try:
        text = sys.stdin.read() if file is None else file.read_text("utf-8")
    except OSError as error:
        raise ParameterError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParameterError(f"{file or 'standard input'} is not text: {error}") from None
    return text.rstrip("\n")


def _questions(
    file: Path | None, yes_no: list[str], choice: list[str], score: list[str]
) -> Questions:
    from canvaslm.engine.decide.questions import Pick, Rate, YesNo

    given = [*yes_no, *choice, *score]
    if file is not None:
        if given:
            raise ParameterError("give the questions in a file or as options, not both")
        asked: Questions = _read_json(file)
        return asked
    if not given:
        raise ParameterError("no questions: give --yes-no, --choice, --score or --questions FILE")
    named: dict[str, Question] = {text: YesNo(text) for text in yes_no}
    for kind, texts in ((Pick, choice), (Rate, score)):
        for text in texts:
            question, listed = _split(text)
            named[question] = kind(question, listed)
    if len(named) < len(given):
        raise ParameterError("a question is asked twice: leave one out")
    return named


def _split(text: str) -> tuple[str, list[str]]:
    """The question, up to its question mark or colon, and the options listed after it."""
    end = max(text.rfind("?"), text.rfind(":"))
    if end < 0 or not text[end + 1 :].strip():
        raise ParameterError(
            f'{text!r} lists no options: write them after the question, as in "Which? red, blue"'
        )
    question = text[: end + 1].strip().removesuffix(":")
    return question, [option.strip() for option in text[end + 1 :].split(",")]


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ParameterError(f"{file} holds no questions: {error}") from None


def _document(found: Decisions, *, listed: bool) -> dict[str, Any]:
    """The reply in the format that was asked in; options are asked as System One's."""
    from canvaslm.engine.decide.formats import as_openai, as_system_one

    return {
        "answers": as_openai(found) if listed else as_system_one(found),
        "usage": {
            "input_tokens": found.input_tokens,
            "output_tokens": 0,
            "passes": found.passes,
            "seconds": found.seconds,
        },
    }


def _table(named: dict[str | int, Question], found: Decisions) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("question", "answer", box=SIMPLE_HEAD)
    table.add_column("", justify="right")
    table.add_column("", min_width=BAR)
    for name, question in named.items():
        rows = _rows(question, found[name])
        best = max(p for _, p in rows)
        for i, (label, p) in enumerate(rows):
            first = (
                _plain(question.instructions if isinstance(name, int) else name) if not i else ""
            )
            bar = "█" * round(BAR * p)
            style = "bold" if p == best else "dim"
            table.add_row(first, f"[{style}]{_plain(label)}[/]", f"{p:.1%}", bar)
        table.add_section()
    return table


def _rows(question: Question, answer: Answer) -> list[tuple[str, float]]:
    """Each option and its probability: a choice's likeliest first, no more than ten."""
    from canvaslm.engine.decide.answers import PickAnswer, YesNoAnswer

    texts = [option.text for option in question.listed]
    if isinstance(answer, YesNoAnswer):
        return [("yes", answer.probability), ("no", 1 - answer.probability)]
    if isinstance(answer, PickAnswer):
        rows = zip(texts, answer.probabilities.values(), strict=True)
        return sorted(rows, key=lambda row: -row[1])[:10]
    return list(zip(texts, answer.probabilities, strict=True))


def _plain(text: str) -> str:
    """Safe for a terminal and for rich's markup."""
    from rich.markup import escape

    from canvaslm.cli.canvas_view import printable

    return escape(printable(text))
