"""The inside of the sandbox: a script that limits itself, runs code it is given, and reports.

`python -I -S -B sandbox_child.py` with a job as JSON on standard input; one JSON object comes back.
It imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import doctest
import hashlib
import importlib
import itertools
import json
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

_NEVER = (
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.unshare",
    "pty.",
    "signal.pthread_kill",
    "socket.",
    "subprocess.",
)
"""Beginnings of the audit events that are always refused."""

_CHANGES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.",
)
"""Beginnings of those that are refused outside the working directory."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST_VALUES = 1000
_MOST_SHOWN = 2000


def limit(limits: dict[str, Any]) -> None:
    """Bound what this process may take, for good."""
    bounds = {
        resource.RLIMIT_CPU: limits["cpu_seconds"],
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in bounds.items():
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
    # Should the parent die, nobody is left to end this process.
    signal.setitimer(signal.ITIMER_REAL, limits["seconds"] + 1)


def lock() -> None:
    """Have the kernel refuse network, programs and processes, where it can."""
    sys.path.insert(0, os.path.dirname(__file__))
    filter = importlib.import_module("sandbox_filter")
    sys.path.pop(0)
    filter.close()
    filter.forget()
    del sys.modules["sandbox_filter"]


def guard() -> None:
    """Refuse processes, sockets, and writing outside the working directory."""
    inside = os.path.realpath(os.getcwd()) + os.sep

    def outside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return not os.path.realpath(os.fsdecode(path)).startswith(inside)

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and bool(args[2] & _WRITING) and outside(args[0])
        changes = event.startswith(_CHANGES) and any(map(outside, args))
        if writes or changes or event.startswith(_NEVER):
            raise PermissionError(f"{event} is refused in the sandbox")

    sys.addaudithook(refuse)


def run_program(program: str) -> None:
    """Run a program to its end."""
    exec(compile(program, "program", "exec"), {"__name__": "program"})


def run_calls(source: str, name: str, calls: list[dict[str, Any]]) -> list[list[str]]:
    """What `name` of `source` does in each call: its result, and what became of its arguments."""
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "program", "exec"), namespace)
    return [_call(namespace[name], call["arguments"], call["attributes"]) for call in calls]


def run_doctest(source: str, module: str, name: str) -> bool:
    """Put `source` in the place of `name` in `module`; whether the examples of its docstring hold.
    False where there are none."""
    home = importlib.import_module(module)
    *path, last = name.split(".")
    owner: Any = home
    for step in path:
        owner = getattr(owner, step)
    docstring = getattr(owner, last).__doc__ or ""
    defined: dict[str, Any] = {}
    exec(compile(source, "program", "exec"), vars(home), defined)
    setattr(owner, last, defined[last])
    test = doctest.DocTestParser().get_doctest(docstring, vars(home), name, None, 0)
    found = doctest.DocTestRunner(verbose=False).run(test)
    return found.attempted > 0 and found.failed == 0


def _call(
    function: Callable[..., Any], arguments: list[Any], attributes: dict[str, Any] | None
) -> list[str]:
    owner = None if attributes is None else types.SimpleNamespace(**attributes)
    try:
        value = function(*([] if owner is None else [owner]), *arguments)
        if isinstance(value, types.GeneratorType):
            value = list(itertools.islice(value, _MOST_VALUES))
        outcome = ["returned", show(value)]
    except Exception as error:
        outcome = ["raised", type(error).__name__]
    return [*outcome, show(arguments), show(owner and vars(owner))]


def show(value: object) -> str:
    """`repr`, equal for values that are equal: 2 and 2.0, sets in any order, a last digit apart."""
    text = _show(value)
    return text if len(text) <= _MOST_SHOWN else hashlib.sha256(text.encode()).hexdigest()


def _show(value: object) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.12g}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_show, value))})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(_show, value)))})"
    if isinstance(value, dict):
        return f"dict({', '.join(sorted(f'{_show(k)}: {_show(v)}' for k, v in value.items()))})"
    return repr(value)


_KINDS: dict[str, Callable[..., Any]] = {
    "program": run_program,
    "calls": run_calls,
    "doctest": run_doctest,
}


def main() -> None:
    """Read the job, run it under its limits, and report on what was standard output."""
    job = json.load(sys.stdin)
    report = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "r+") as nothing:
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)
    run = _KINDS[job.pop("kind")]
    limit(job.pop("limits"))
    lock()
    guard()
    try:
        outcome: dict[str, Any] = {"value": run(**job)}
    except BaseException as error:  # SystemExit, too, must not look like a program that ended
        outcome = {"error": type(error).__name__}
    with contextlib.suppress(BrokenPipeError):
        json.dump(outcome, report)
        report.flush()
    os._exit(0)  # whatever the code has left behind: threads, hooks at exit


if __name__ == "__main__":
    main()
