"""Documents of the command line: read as they are, written whole or not at all, shown settling."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.errors import ParameterError, StorageError

if TYPE_CHECKING:
    from canvaslm import LM, Draft
    from canvaslm.engine.rewriting.write import Watch

File = Annotated[
    Path | None,
    typer.Argument(help="The document; without it, standard input.", show_default=False),
]
Write = Annotated[
    bool, typer.Option("--write", help="Write FILE anew instead of printing the document.")
]
Live = Annotated[bool, typer.Option("--watch", help="Show the canvas condensing, on the terminal.")]

_PAIR = re.compile(r"(\d+):(\d+)")


def read(file: Path | None, *, write: bool) -> str:
    """The document, its line ends as they are. Raises ParameterError for what is no text."""
    if file is None:
        if write:
            raise ParameterError("--write needs a FILE to write to")
        if sys.stdin.isatty():
            raise ParameterError("no document: give a FILE, or pipe one in")
        try:
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(newline="")
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise ParameterError(f"standard input is not text: {error}") from None
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ParameterError(f"{file} is not text in UTF-8: {error}") from None
    except OSError as error:
        raise ParameterError(f"{file} cannot be read: {error.strerror}") from None


def write(file: Path, text: str) -> None:
    """Put `text` in the place of the file, whole or not at all; its permissions stay.

    Raises StorageError.
    """
    target = file.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as made:
                made.write(text.encode())
            shutil.copymode(target, name)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from None


def pair(option: str, value: str) -> tuple[int, int]:
    """Two numbers with a colon between them. Raises ParameterError."""
    match = _PAIR.fullmatch(value)
    if match is None:
        raise ParameterError(f"{option} takes two numbers with a colon, as 3:14, got {value!r}")
    return int(match[1]), int(match[2])


def split_lines(text: str) -> list[str]:
    """The lines with their ends: LF, CR LF or CR."""
    return list(io.StringIO(text, newline=""))


def place_at(text: str, line: int, column: int) -> int:
    """The character at LINE:COL, both from 1; the column behind a line's last character is its
    end. Raises ParameterError for a place outside the text."""
    lines = split_lines(text) or [""]
    if lines[-1].endswith(("\n", "\r")):
        lines.append("")
    if not 1 <= line <= len(lines):
        raise ParameterError(f"--at {line}:{column}: the document has lines 1 to {len(lines)}")
    width = len(lines[line - 1].rstrip("\r\n"))
    if not 1 <= column <= width + 1:
        raise ParameterError(f"--at {line}:{column}: line {line} has columns 1 to {width + 1}")
    return sum(map(len, lines[: line - 1])) + column - 1


def span_of_lines(text: str, first: int, last: int) -> tuple[int, int]:
    """The characters of the lines `first` to `last`, from 1, without the last line's end."""
    lines = split_lines(text)
    if not 1 <= first <= last <= len(lines):
        raise ParameterError(
            f"--lines {first}:{last}: expected A:B with 1 <= A <= B <= {len(lines)}, the "
            "document's lines"
        )
    start = sum(map(len, lines[: first - 1]))
    return start, start + len("".join(lines[first - 1 : last]).rstrip("\r\n"))


def deliver(document: str, file: Path | None, *, write_back: bool) -> None:
    """Write the document back, or print it."""
    from canvaslm.cli import output

    if write_back and file is not None:
        write(file, document)
    else:
        output.write(document)


@contextmanager
def shown(lm: LM, before: str, *, wanted: bool) -> Iterator[Watch | None]:
    """What draws each draft behind the end of `before` on stderr, and wipes it off at the end."""
    if not wanted:
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    from canvaslm.cli.watch import FRAME, draw_answer

    console = Console(stderr=True)
    if not console.is_terminal:
        raise ParameterError("--watch draws on stderr, which is no terminal: leave it out")
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def watch(draft: Draft) -> None:
            live.update(draw_answer(lm, before, draft, console=console), refresh=True)
            time.sleep(FRAME)

        yield watch
