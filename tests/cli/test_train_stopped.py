"""A stopped `canvaslm train` says what is kept; the exit code says who stopped it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.test_train import RECIPE

from canvaslm.cli import train_run
from canvaslm.training.state import load_state


@pytest.fixture
def recipe(tmp_path: Path, checkpoint: Path) -> Path:
    file, data = tmp_path / "mine.py", tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a square", "answer": "and a circle"}\n')
    file.write_text(RECIPE.format(base=str(checkpoint), data=str(data)) + "\n")
    return file


def test_ctrl_c_saves_and_says_where(
    run: Run, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canvaslm.training.way.can_compile", lambda: False)
    out = tmp_path / "run"

    def stop(self: train_run.Shown, record: dict[str, float]) -> None:
        if record["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_run.Shown, "__call__", stop)
        done = run("train", recipe, "--out", out, "--steps", 9)
    assert (done.code, done.out) == (130, "")
    assert f"stopped: {out} holds its state after 3 steps; --resume goes on from there" in done.err
    assert run("train", recipe, "--out", out, "--steps", 9, "--resume").code == 0
    assert load_state(out)[1] == 9


def test_a_model_on_the_way_is_written_and_said_to_be_one(
    run: Run, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canvaslm.training.way.can_compile", lambda: False)
    command = ("train", recipe, "--out", tmp_path / "run", "--steps", 4, "--export")
    done = run(*command, "--until", 2)
    assert (done.code, done.out.strip()) == (0, str(tmp_path / "run" / "model"))
    assert "holds its state after 2 steps; --resume goes on from there" in done.err
    done = run(*command, "--until", 9, "--resume")
    assert done.code == 0
    assert "stopped" not in done.err
    done = run(*command, "--resume")
    assert (done.code, done.out) == (2, "")
    assert "--export would have no effect: add --until" in done.err


def test_before_the_first_save_nothing_is_promised(
    run: Run, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("canvaslm.training.loop.begin", interrupted)
    done = run("train", recipe, "--out", tmp_path / "run")
    assert (done.code, done.out) == (130, "")
    assert "stopped: nothing was saved yet" in done.err


@pytest.mark.slow  # a process that imports everything and compiles
def test_sigterm_saves_the_step_too(tmp_path: Path, recipe: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "canvaslm", "train", str(recipe), "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--steps", "100000"], env=env)
    try:
        log, deadline = out / "log.jsonl", time.monotonic() + 300
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 143
    finally:
        process.kill()
    assert load_state(out)[1] == len(log.read_text().splitlines())
