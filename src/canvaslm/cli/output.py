"""What a command says: an answer's text, safe for a terminal, one JSON document, or a complaint."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvaslm import Result


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
    """An answer as JSON values: text, token_ids, finish_reason, usage, seed."""
    return {
        "text": result.text,
        "token_ids": list(result.token_ids),
        "finish_reason": result.finish_reason,
        "usage": asdict(result.usage),
        "seed": result.seed,
    }
