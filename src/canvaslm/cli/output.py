"""What a command says: an answer's text, safe for a terminal, one JSON document, or a complaint."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

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


def measured(lm: LM, model: str | None) -> dict[str, str]:
    """What an evaluation measured, and where: model, device, dtype; the formats of rounded weights,
    whose dtype is that of K and V."""
    from canvaslm.eval.machine import describe_device
    from canvaslm.measure.parts import formats_of
    from canvaslm.model.weights import KIND

    found = {
        "model": model or "embedded",
        "device": describe_device(lm.placement.device),
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
    }
    of = formats_of(lm)
    if any(KIND[format] == "int8" for format in (of.experts, of.dense, of.embedding)):
        found["weights"] = f"{of.experts} experts, {of.dense} dense, {of.embedding} embedding"
    return found


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
