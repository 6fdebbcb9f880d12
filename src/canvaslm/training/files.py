"""Small files of a run: written whole or not at all, logs line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from canvaslm.errors import StorageError


def write_text(path: Path, text: str) -> None:
    """Write a small file, all of it or nothing. Raises StorageError."""
    fresh = path.with_name(f"{path.name}.new")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)


def append_line(path: Path, line: str) -> None:
    """Add a line to a log. Raises StorageError."""
    with storing(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def rewind(path: Path, step: int) -> None:
    """Take out of a log what was done after `step` began, as a run resumed there does it again."""
    if path.is_file():
        lines = path.read_text("utf-8").splitlines()
        write_text(path, "".join(f"{line}\n" for line in lines if before(line, step)))


def before(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] < step)
    except (ValueError, KeyError, TypeError):  # cut off when the run was killed
        return False


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what the system says about the disk into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error}; free some space or choose another folder"
        ) from error
