"""What a command says: an answer's text, safe for a terminal, one JSON document, or a complaint."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from canvaslm import LM, Result, TokenLogprob

_PIPE_WIDTH = 160


def write(text: str) -> None:
    """Write at once: as it is into a pipe or file, without control characters to a terminal."""
    if sys.stdout.isatty():
        from canvaslm.cli.canvas_view import printable

        text = printable(text)
    sys.stdout.write(text)
    sys.stdout.flush()


def complain(error: Exception) -> None:
    """Say on stderr why a request cannot be served. The reason may quote a file, so it is made safe
    for a terminal, too."""
    from canvaslm.cli.canvas_view import printable

    sys.stderr.write(printable(f"canvaslm: {error}\n"))


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings of this package are one line on stderr; those of others stay as they are."""
    from canvaslm.cli.canvas_view import printable

    own = str(Path(__file__).resolve().parents[1])

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if filename.startswith(own):
            sys.stderr.write(printable(f"canvaslm: warning: {message}\n"))
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        usual, warnings.showwarning = warnings.showwarning, show
        yield


def write_json(document: Mapping[str, Any]) -> None:
    """Write one document, indented."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def answer(result: Result) -> dict[str, Any]:
    """An answer as JSON: text, token_ids, finish_reason, stop, usage, seed; log-probabilities
    and `others`, the answers after the first, where they were asked for."""
    document: dict[str, Any] = {
        "text": result.text,
        "token_ids": list(result.token_ids),
        "finish_reason": result.finish_reason,
        "stop": result.stop,
        "usage": asdict(result.usage),
        **({"notes": list(result.notes)} if result.notes else {}),
        "seed": result.seed,
    }
    if result.logprobs is not None:
        document["logprobs"] = [logprob(entry) for entry in result.logprobs]
        document["logprobs_kind"] = result.logprobs_kind
    if result.prompt_logprobs is not None:
        entries = result.prompt_logprobs
        document["prompt_logprobs"] = [None if e is None else logprob(e) for e in entries]
    if result.others:
        document["others"] = [answer(other) for other in result.others]
    return document


def logprob(entry: TokenLogprob) -> dict[str, Any]:
    """A token, its log-probability, null where it is minus infinity, and the likeliest tokens."""
    beside = [replace(entry, token_id=id, logprob=value, top=()) for id, value in entry.top]
    return one_logprob(entry) | {"top": [one_logprob(other) for other in beside]}


def one_logprob(entry: TokenLogprob) -> dict[str, Any]:
    return {"token_id": entry.token_id, "text": entry.text, "logprob": finite(entry.logprob)}


def finite(value: float) -> float | None:
    """What JSON has a number for."""
    return value if math.isfinite(value) else None


def measured(lm: LM, model: str | None, *, adapter: Path | None = None) -> dict[str, str]:
    """What an evaluation measured, and where: model, its adapter, device, dtype; the formats of
    rounded weights, whose dtype is that of K and V."""
    from canvaslm.eval.machine import describe_device
    from canvaslm.measure.parts import formats_of
    from canvaslm.model.weights import KIND

    found = {
        "model": model or "embedded",
        **({} if adapter is None else {"adapter": str(adapter)}),
        "device": describe_device(lm.placement.device),
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
    }
    of = formats_of(lm)
    if any(KIND[format] == "int8" for format in (of.experts, of.dense, of.embedding)):
        found["weights"] = f"{of.experts} experts, {of.dense} dense, {of.embedding} embedding"
    return found


def named(machine: Mapping[str, str]) -> str:
    """The model that was measured, and what it wears."""
    adapter = machine.get("adapter")
    return f"{machine['model']} model" + ("" if adapter is None else f" with {adapter}")


def console(*, to_stderr: bool = False) -> Console:
    """Where tables go; a pipe or file is wide, so that no column is cut short."""
    from rich.console import Console

    made = Console(highlight=False, stderr=to_stderr)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def figures(name: str, *columns: str) -> Table:
    """An empty table: a column of names, and columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(name, box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    return table
