"""`canvaslm eval` with a folder: killed, resumed, reported, compared."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

ASKED = ("scenes", "json", "--n", 4, "--mode", "one-shot", "--max-tokens", 64)


def cases(folder: Path) -> list[dict[str, Any]]:
    """What decides a case; times apart."""
    lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [{k: v for k, v in case.items() if k not in ("seconds", "spent")} for case in found]


def test_several_tasks_are_one_run_with_a_report(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    done = run("eval", *ASKED, "--model", checkpoint, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "scenes, one-shot" in done.out
    assert "json, one-shot" in done.out
    assert [(case["task"], case["number"]) for case in cases(tmp_path / "run")] == [
        (task, number) for task in ("scenes", "json") for number in range(4)
    ]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [one["task"] for one in report["reports"]] == ["scenes", "json"]
    assert "<svg" in (tmp_path / "run" / "report.html").read_text()


def test_a_run_that_is_killed_is_resumed_bit_exactly(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    asked = [*map(str, ASKED), "--model", str(checkpoint), "--out"]
    assert run("eval", *asked, tmp_path / "whole").code == 0
    killed = tmp_path / "killed"
    child = subprocess.Popen(
        [sys.executable, "-m", "canvaslm", "eval", *asked, str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    file, end = killed / "cases.jsonl", time.monotonic() + 60
    while not (file.exists() and file.stat().st_size) and child.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = file.read_text(encoding="utf-8")
    os.truncate(file, len(before.encode()) - 5)  # and the last line was under way
    again = run("eval", *asked, killed)
    assert (again.code, "--resume" in again.err) == (2, True)
    resumed = run("eval", *asked, killed, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert cases(killed) == cases(tmp_path / "whole")
    kept = before.splitlines()[:-1]
    assert file.read_text(encoding="utf-8").splitlines()[: len(kept)] == kept
    whole = json.loads((tmp_path / "whole" / "report.json").read_text())
    found = json.loads(resumed.out)
    for one, other in zip(found["reports"], whole["reports"], strict=True):
        assert (one["score"], one["steps_per_canvas"]) == (
            other["score"],
            other["steps_per_canvas"],
        )


def test_another_run_is_not_gone_on_with(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    asked = ("eval", "scenes", "--mode", "one-shot", "--model", checkpoint, "--out", tmp_path / "r")
    assert run(*asked, "--n", 2).code == 0
    done = run(*asked, "--n", 3, "--resume")
    assert done.code == 2
    assert "n was 2 and is 3" in done.err
    done = run(*asked, "--n", 2, "--seed", 1, "--resume")
    assert "seed was 0 and is 1" in done.err
    other = shutil.copytree(checkpoint, tmp_path / checkpoint.name)
    (other / "generation_config.json").write_text('{"max_denoising_steps": 3}')
    done = run(*asked[:-3], other, *asked[-2:], "--n", 2, "--resume")
    assert "checkpoint was" in done.err


def test_two_runs_are_compared_on_the_same_cases(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    for name, mode in (("a", "one-shot"), ("b", "diffusion")):
        asked = ("eval", "scenes", "json", "--n", 2, "--max-tokens", 32, "--model", checkpoint)
        assert run(*asked, "--mode", mode, "--out", tmp_path / name).code == 0
    done = run("eval", "--compare", tmp_path / "a", tmp_path / "b", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["tasks"]
    assert {name: one["n"] for name, one in found.items()} == {"scenes": 2, "json": 2, "all": 4}
    assert found["all"]["steps_ratio"] < 1
    table = run("eval", "--compare", tmp_path / "a", tmp_path / "b").out
    assert "A less B" in table
    assert "McNemar" in table


@pytest.mark.slow  # the pools of all tasks are made
def test_all_is_every_task(run: Run, checkpoint: Path) -> None:
    done = run("eval", "all", "--n", 1, "--mode", "one-shot", "--model", checkpoint, "--json")
    assert done.code == 0, done.err
    tasks = [one["task"] for one in json.loads(done.out)["reports"]]
    assert tasks == ["sudoku", "scenes", "ask", "json", "code"]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("scenes", "chess"), "task 'chess' does not exist"),
        (("all", "scenes"), "give it alone"),
        (("scenes", "json", "--bin", "1"), "a bin of one task"),
        (("scenes", "--resume"), "--out"),
        (("scenes", "--plot", "x.txt"), "a plot is one of"),
        (("scenes", "--mode", "ar", "--batch", 2), "one at a time"),
        (("scenes", "--max-tokens", 0), "max_tokens"),
        (("--json",), "--json needs a task"),
        (("--compare", "no/a", "no/b"), "has no run"),
        (("--compare", "a", "b", "scenes"), "stands alone"),
        (("scenes", "--model", "http://127.0.0.1:9/v1"), "GET /models failed"),
        (("scenes", "--model", "http://127.0.0.1:9/v1", "--dtype", "float32"), "no effect"),
        (("gsm8k", "--file", "none.jsonl"), "does not exist"),
        (("likelihood", "none.txt"), "cannot be read"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(
    run: Run, args: tuple[object, ...], reason: str
) -> None:
    done = run("eval", *args)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_gsm8k_is_asked_from_a_file(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    line = json.dumps({"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"})
    file.write_text(f"{line}\n{line}\n")
    asked = ("eval", "gsm8k", "--file", file, "--max-tokens", 8, "--model", checkpoint)
    found = json.loads(run(*asked, "--out", tmp_path / "run", "--json").out)
    assert (found["task"], found["n"], list(found["bins"])) == ("gsm8k", 2, ["1 step"])
    assert cases(tmp_path / "run")[0]["expected"] == "4"
    assert json.loads(run(*asked, "--n", 1, "--json").out)["n"] == 1


def test_likelihood_of_texts_by_file_and_in_all(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    texts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for number, file in enumerate(texts):
        file.write_text("a square and a circle\n" * (number + 1))
    asked = ("eval", "likelihood", *texts, "--part", 10, "--model", checkpoint)
    found = json.loads(run(*asked, "--samples", 2, "--json").out)
    assert set(found["files"]) == set(map(str, texts))
    assert found["bytes"] == sum(one["bytes"] for one in found["files"].values()) == 66
    assert found["bound"] > 0
    assert found["bound_error"] > 0
    table = run(*asked, "--no-elbo").out
    assert "two.txt" in table
    assert "perplexity" in table
    refused = run(*asked, "--no-elbo", "--samples", 2)
    assert "no effect" in refused.err
    (tmp_path / "empty").write_text("")
    assert "is empty" in run("eval", "likelihood", tmp_path / "empty", "--no-elbo").err


def test_calibration_is_said_by_probability(run: Run, checkpoint: Path) -> None:
    asked = ("eval", "calibration", "--n", 4, "--model", checkpoint)
    found = json.loads(run(*asked, "--json").out)
    assert found["n"] == sum(level["n"] for level in found["levels"]) == 4
    assert "expected calibration error" in run(*asked).out
    assert "n must be" in run("eval", "calibration", "--n", 0, "--model", checkpoint).err
