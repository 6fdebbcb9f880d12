"""The sandbox: what is well comes back, and what is not is ended within its limits."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canvaslm.errors import ParameterError
from canvaslm.eval import sandbox_filter
from canvaslm.eval.sandbox import Limits, Outcome, run

TIGHT = Limits(seconds=2, cpu_seconds=1, memory_bytes=256 << 20, file_bytes=1 << 16)


def program(text: str, *, limits: Limits | None = None) -> Outcome:
    return run("program", program=text, limits=limits)


def test_a_program_that_ends_has_no_error() -> None:
    assert program("x = sum(range(10))\nassert x == 45") == Outcome()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("assert False", "AssertionError"),
        ("def f(:", "SyntaxError"),
        ("def f():\n    return f()\nf()", "RecursionError"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "Killed"),
        ("input()", "EOFError"),
    ],
)
def test_a_program_that_does_not_end_well_says_how(text: str, error: str) -> None:
    assert program(text) == Outcome(error=error)


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("while True: pass", ("Killed", "Timeout")),
        ("import time\ntime.sleep(60)", ("Timeout",)),
        ("data = bytearray(10**10)", ("MemoryError",)),
        ("parts = []\nwhile True: parts.append(bytes(10**6))", ("MemoryError",)),
        ("open('a', 'w').write('x' * 10**6)", ("OSError", "Killed")),
    ],
)
def test_what_takes_too_much_is_ended_in_time(text: str, errors: tuple[str, ...]) -> None:
    started = time.monotonic()
    assert program(text, limits=TIGHT).error in errors
    assert time.monotonic() - started < TIGHT.seconds + 3


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.fork()",
        "import os\nos.system('true')",
        "import os\nos.kill(os.getppid(), 9)",
        "import subprocess\nsubprocess.run(['true'])",
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "import ctypes",
    ],
)
def test_processes_and_sockets_are_refused(text: str) -> None:
    assert program(text) == Outcome(error="PermissionError")


def test_files_are_written_in_the_working_directory_alone(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text("kept")
    for text in (f"open({str(trap)!r}, 'w')", f"import os\nos.remove({str(trap)!r})"):
        assert program(text) == Outcome(error="PermissionError")
    assert trap.read_text() == "kept"
    assert program("open('own', 'w').write('x')\nimport os\nos.remove('own')") == Outcome()


def test_what_is_printed_does_not_reach_the_verdict() -> None:
    assert program("print('{\"value\": true}')\nassert False").error == "AssertionError"


def test_neither_environment_nor_packages_are_seen() -> None:
    os.environ["CANVASLM_TEST"] = "1"
    assert program("import os\nassert 'CANVASLM_TEST' not in os.environ") == Outcome()
    assert program("import canvaslm") == Outcome(error="ModuleNotFoundError")


def test_limits_are_positive() -> None:
    with pytest.raises(ParameterError, match="cpu_seconds"):
        Limits(cpu_seconds=0)


FILTERED = sys.platform == "linux" and os.uname().machine in sandbox_filter.REFUSED


@pytest.mark.skipif(not FILTERED, reason="this system has no filter of system calls")
@pytest.mark.parametrize(
    "text",
    [
        "import socket; socket.socket()",
        "import socket; socket.socketpair()",
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.kill(os.getppid(), 0)",
        "import subprocess; subprocess.run(['/bin/true'])",
    ],
)
def test_the_kernel_refuses_by_itself_what_the_hook_refuses(text: str) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(sandbox_filter.__file__).parent)!r})
import sandbox_filter
assert sandbox_filter.close()
try:
    {text}
except PermissionError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=False)
    assert done.stdout == b"refused\n", done.stderr


@pytest.mark.skipif(not FILTERED, reason="this system has no filter of system calls")
def test_the_filter_stands_in_every_run_and_leaves_ordinary_programs_alone() -> None:
    assert program("assert 'Seccomp:\\t2' in open('/proc/self/status').read()") == Outcome()
    ordinary = "import collections, datetime, decimal, json, random, re, threading"
    assert program(f"{ordinary}\nrandom.random()\nopen('own', 'w').write('x')") == Outcome()


@pytest.mark.parametrize("machine", sandbox_filter.REFUSED)
def test_the_filter_is_whole_instructions_that_jump_inside_it(machine: str) -> None:
    rules = sandbox_filter.rules(machine)
    assert len(rules) % 8 == 0
    count = len(rules) // 8
    for place in range(count):
        yes, no = rules[8 * place + 2], rules[8 * place + 3]
        assert place + max(yes, no) + 1 <= count
    assert int.from_bytes(rules[-8:-6], sys.byteorder) == 0x06  # the last one answers
