"""`canvaslm eval infill`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

SMALL = ("eval", "infill", "--origin", "textbook", "--method", "prompt", "--max-gap", 4)
PROBLEM = {
    "task_id": "Test/0",
    "prompt": "def one():\n    return ",
    "suffix": "\n",
    "canonical_solution": "1",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


def test_json_is_one_document_and_samples_are_lines(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    samples = tmp_path / "samples.jsonl"
    done = run(*SMALL, "--n", 3, "--model", checkpoint, "--samples", samples, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document["methods"]["prompt"]["textbook"]["all"]["n"] == 3
    assert {"model", "device", "dtype", "executed", "max_gap"} <= set(document)
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["single-line", "multi-line", "random-span"]


def test_the_table_has_a_line_for_each_kind_and_says_what_was_run(
    run: Run, checkpoint: Path
) -> None:
    done = run(*SMALL, "--n", 3, "--model", checkpoint)
    assert done.code == 0
    for name in ("all", "single-line", "multi-line", "random-span"):
        assert f"textbook, {name} " in done.out
    assert "--execute" in done.out
    done = run(*SMALL, "--n", 1, "--model", checkpoint, "--execute")
    assert " of 1 " in done.out
    assert "--execute" not in done.out


def test_problems_are_filled_once_and_scored(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    problems, out = tmp_path / "problems.jsonl", tmp_path / "samples.jsonl"
    problems.write_text(json.dumps(PROBLEM) + "\n")
    args = ("eval", "infill", "--problems", problems, "--out", out, "--method", "prompt")
    args += ("--max-gap", 4, "--model", checkpoint)
    done = run(*args)
    assert done.code == 0
    assert done.out.startswith("1 problems: 1 filled now, 0 before; 0 too long")
    assert json.loads(out.read_text())["task_id"] == "Test/0"
    out.write_text('{"task_id": "Test/0", "completion": "1"}\n')
    document = json.loads(run(*args, "--execute", "--json").out)
    assert (document["written"], document["found"], document["passed"]) == (0, 1, 1)
    assert "1 passed, 100.0%" in run(*args, "--execute").out


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--n", 0), "n must be"),
        (("--kind", "half-line"), "half-line"),
        (("--origin", "web"), "web"),
        (("--method", "guess"), "guess"),
        (("--max-gap", 0), "max_gap must be"),
        (("--out", "x"), "--out would have no effect without"),
        (("--problems", "x"), "--problems needs --out"),
        (("--problems", "none.jsonl", "--out", "x"), "none.jsonl does not exist"),
        (("--problems", "x", "--out", "x", "--n", 0), "n must be"),
        (("--problems", "x", "--out", "x", "--kind", "multi-line"), "--kind would have no effect"),
        (("--origin", "textbook", "--samples", "no/such/folder"), "cannot be written"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    run: Run, checkpoint: Path, args: tuple[object, ...], reason: str
) -> None:
    done = run("eval", "infill", "--method", "prompt", *args, "--model", checkpoint)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
