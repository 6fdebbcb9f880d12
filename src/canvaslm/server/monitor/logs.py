"""The log: a line of JSON for each request and event, without texts unless asked for."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO, get_args

from canvaslm.engine.checks import check_chosen

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[str, ...] = get_args(Level)
LONGEST_BODY = 64 << 10


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True, eq=False)
class Log:
    """Writes to `path`, or to stderr without one. What cannot be written is dropped: once it says
    so on stderr, and it goes on trying."""

    level: Level = "info"
    path: Path | None = None
    clock: Callable[[], datetime] = now
    _file: TextIO | None = field(default=None, init=False, repr=False)
    _complained: bool = field(default=False, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        check_chosen("level", self.level, LEVELS)

    def write(self, event: str, *, level: Level = "info", **said: object) -> None:
        """One line. Values that are None are left out."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        line: dict[str, object] = {
            "time": self.clock().isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            **{name: value for name, value in said.items() if value is not None},
        }
        with self._lock:
            self._append(json.dumps(line, default=str) + "\n")

    def _append(self, line: str) -> None:
        try:
            file = self._open()
            file.write(line)
            file.flush()
        except (OSError, ValueError) as failure:
            self._drop()
            self._complain(failure)

    def _open(self) -> TextIO:
        if self.path is None:
            return sys.stderr
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        return self._file

    def _complain(self, failure: Exception) -> None:
        if self._complained or self.path is None:
            return
        self._complained = True
        try:
            sys.stderr.write(f"canvaslm: the log {self.path} cannot be written: {failure}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    def reopen(self) -> None:
        """Begin a new file where the old one has been moved away."""
        with self._lock:
            self._drop()
            self._complained = False

    def close(self) -> None:
        """What is written later opens it again."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # what it still held cannot be written either
                return


def body_text(body: bytes | None) -> str | None:
    """What a request said, for a log that shows texts."""
    return None if body is None else body[:LONGEST_BODY].decode("utf-8", errors="replace")
