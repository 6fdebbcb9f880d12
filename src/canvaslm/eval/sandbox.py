"""Code that a model wrote, run in a process of its own with little time, memory and reach.

This guards against accidents, as code of a language model makes them, and not against an attacker:
limits of the operating system bound time, memory and files; on Linux the kernel refuses network,
programs and processes for good; an audit hook refuses them everywhere, and writing outside a
temporary directory. Files that the user may read can be read.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canvaslm.errors import ParameterError

_CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run may take; `seconds` are those of the wall clock. Raises ParameterError."""

    seconds: float = 5.0
    cpu_seconds: int = 3
    memory_bytes: int = 512 << 20
    file_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ParameterError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: with what it found, or `error`, the name of what ended it."""

    value: Any = None
    error: str | None = None


def run(kind: str, *, limits: Limits | None = None, **job: Any) -> Outcome:
    """Run a job of `sandbox_child`: "program", "calls" or "doctest", with its arguments.

    Whatever the code does, this returns soon after `limits.seconds`. Errors are the names of
    exceptions, "Timeout", or "Killed" where a limit of the operating system ended the process.
    """
    limits = limits or Limits()
    request = json.dumps({"kind": kind, "limits": asdict(limits), **job})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        try:
            reply, _ = child.communicate(request, timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return Outcome(error="Timeout")
        finally:
            _end(child)
    return _read(reply)


def _end(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    child.wait()


def _read(reply: str) -> Outcome:
    try:
        values: Mapping[str, Any] = json.loads(reply)
    except ValueError:  # ended before it could report
        return Outcome(error="Killed")
    return Outcome(value=values.get("value"), error=values.get("error"))
