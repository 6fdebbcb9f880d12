"""The command line as a whole: help, exit codes, pipes."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run

COMMANDS = ("demo", "generate", "chat", "info", "new", "train", "eval", "doctor")
PYTHON = (sys.executable, "-m", "canvaslm.cli.app")


def test_help_lists_every_command_and_loads_no_torch() -> None:
    code = "import sys, canvaslm.cli.app as a\ntry: a.main(['--help'])\nfinally: " + (
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "False\n")
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.slow
def test_help_is_there_at_once() -> None:
    def seconds() -> float:
        begun = time.perf_counter()
        subprocess.run([*PYTHON, "--help"], capture_output=True, check=True)
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert "Usage: canvaslm" in done.out


@pytest.mark.parametrize(
    "args", [("--frobnicate",), ("frobnicate",), ("info", "--frobnicate"), ("eval",)]
)
def test_a_wrong_command_line_is_refused(run: Run, args: tuple[str, ...]) -> None:
    done = run(*args)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_complaint_holds_nothing_that_a_terminal_would_obey(run: Run, tmp_path: Path) -> None:
    (tmp_path / "\x1b[31m").mkdir()
    done = run("info", tmp_path / "\x1b[31m")
    assert done.code == 2
    assert "·[31m holds no config.json" in done.err


def test_the_version_is_one_line(run: Run) -> None:
    done = run("--version")
    assert done.code == 0
    assert re.fullmatch(r"canvaslm \d+\.\d+\.\d+\n", done.out)


def test_an_interrupt_ends_it_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("canvaslm.cli.options.load", interrupted)
    done = run("generate", "hello")
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err


def test_a_reader_that_goes_away_is_no_error_message(checkpoint: Path) -> None:
    command = [*PYTHON, "info", str(checkpoint)]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None
    done.stdout.close()
    _, complaint = done.communicate(timeout=60)
    assert b"Traceback" not in complaint
    assert b"BrokenPipe" not in complaint
