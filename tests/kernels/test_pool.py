"""The threads that operations share: a C++ program exercises them, alone and under a sanitizer."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from canvaslm.kernels import build

EXERCISE = Path(__file__).resolve().parent / "pool" / "exercise.cpp"
SCENARIOS = ["rounds", "apart", "together", "nested", "callers", "memory", "crowd"]
SINGLE = ["forks", "few"]  # what ThreadSanitizer itself cannot go through

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="needs a C++ compiler")


def compiled(folder: Path, *flags: str) -> Path:
    cxx, program = build.compiler(), folder / "exercise"
    assert cxx is not None
    sources = [str(EXERCISE), str(build.SOURCE / "pool.cpp")]
    command = [cxx, *build.COMMON, "-g", f"-I{build.SOURCE}", *flags, *sources, "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and flags:
        pytest.skip(f"this compiler has no {' '.join(flags)}")
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same under ThreadSanitizer, which cannot live with much randomness of addresses."""
    path = compiled(tmp_path_factory.mktemp("watched"), "-fsanitize=thread")
    still = ["setarch", "-R"] if shutil.which("setarch") else []
    command = [*still, str(path)]
    if subprocess.run([*command, "nothing"], capture_output=True, check=False).returncode != 2:
        pytest.skip("ThreadSanitizer does not run on this machine")
    return command


def run(command: list[str], **more: str) -> tuple[int, str]:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | more,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS + SINGLE)
def test_all_is_done_once_by_whoever_is_there(program: Path, scenario: str) -> None:
    assert run([str(program), scenario]) == (0, "")


def test_pinned_threads_do_the_same(program: Path) -> None:
    assert run([str(program), "together"], CANVASLM_PIN="1") == (0, "")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_threads_do_not_race(watched: list[str], scenario: str) -> None:
    assert run([*watched, scenario]) == (0, "")


def test_without_memory_the_process_says_so(program: Path) -> None:
    code, error = run([str(program), "exhausted"])
    assert code == -signal.SIGABRT
    assert "no memory for 1073741824 bytes" in error
