"""The JSONL of openai/human-eval-infilling: read, written, resumed, and refused with a reason."""

import gzip
import json
from pathlib import Path

import pytest

from canvaslm.errors import ContextLengthError, ParameterError, StorageError, TaskError
from canvaslm.eval.infill_fill import Filling
from canvaslm.eval.infill_problems import (
    Problem,
    count_passed,
    read_completions,
    read_problems,
    write_completions,
)

LINES = [
    {
        "task_id": f"Test/{number}",
        "prompt": f"def plus(x):\n    y = {number}\n",
        "suffix": "    return x + y\n",
        "canonical_solution": "    y += 1\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 2}\n",
        "entry_point": "plus",
        "note": "ignored",
    }
    for number in range(3)
]


def jsonl(path: Path, lines: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def problems(tmp_path: Path) -> list[Problem]:
    return read_problems(jsonl(tmp_path / "problems.jsonl", LINES))


class Filler:
    """Gives the right answer, and notes what it was asked."""

    def __init__(self, text: str = "    y += 1\n") -> None:
        self.text = text
        self.asked: list[tuple[str, str, int]] = []

    def __call__(self, prefix: str, suffix: str, max_gap: int) -> Filling:
        self.asked.append((prefix, suffix, max_gap))
        return Filling(text=self.text, tokens=1, steps=1, seconds=0.0)


def test_problems_are_read_plain_and_gzipped(tmp_path: Path, problems: list[Problem]) -> None:
    packed = tmp_path / "problems.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "problems.jsonl").read_bytes()))
    assert read_problems(packed) == problems
    assert [problem.task_id for problem in problems] == ["Test/0", "Test/1", "Test/2"]


def test_each_completion_is_a_line_that_the_harness_reads(
    tmp_path: Path, problems: list[Problem]
) -> None:
    out, filler = tmp_path / "samples.jsonl", Filler()
    told: list[tuple[int, int]] = []
    done = write_completions(
        filler, problems, out, max_gap=9, progress=lambda *counts: told.append(counts)
    )
    assert (done.written, done.found, done.too_long) == (3, 0, 0)
    assert filler.asked[0] == (problems[0].prompt, problems[0].suffix, 9)
    assert told == [(1, 0), (2, 0), (3, 0)]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines == [{"task_id": p.task_id, "completion": "    y += 1\n"} for p in problems]
    assert read_completions(out, problems) == {p.task_id: "    y += 1\n" for p in problems}


@pytest.mark.parametrize("torn", ["", '{"task_id": "Test/1", "compl', '{"ta'])
def test_a_killed_run_goes_on_where_it_stopped(
    tmp_path: Path, problems: list[Problem], torn: str
) -> None:
    out, filler = tmp_path / "samples.jsonl", Filler("new")
    out.write_text('{"task_id": "Test/0", "completion": "old"}\n' + torn)
    done = write_completions(filler, problems, out)
    assert (done.written, done.found) == (2, 1)
    assert read_completions(out, problems) == {"Test/0": "old", "Test/1": "new", "Test/2": "new"}


def test_the_first_so_many_are_filled_and_others_that_are_there_are_kept(
    tmp_path: Path, problems: list[Problem]
) -> None:
    out = tmp_path / "samples.jsonl"
    out.write_text('{"task_id": "Test/2", "completion": "old"}\n')
    done = write_completions(Filler("new"), problems, out, most=2)
    assert (done.written, done.found) == (2, 0)
    assert read_completions(out, problems) == {"Test/0": "new", "Test/1": "new", "Test/2": "old"}


def test_a_last_line_without_its_break_is_kept(tmp_path: Path, problems: list[Problem]) -> None:
    out = tmp_path / "samples.jsonl"
    out.write_text('{"task_id": "Test/0", "completion": "old"}')
    write_completions(Filler("new"), problems, out)
    assert read_completions(out, problems)["Test/0"] == "old"


@pytest.mark.parametrize("content", ["a letter", '{"task_id": "Other/0", "completion": ""}\n'])
def test_a_file_that_is_something_else_is_left_alone(
    tmp_path: Path, problems: list[Problem], content: str
) -> None:
    out = tmp_path / "out"
    out.write_text(content)
    with pytest.raises(TaskError, match="line 1"):
        write_completions(Filler(), problems, out)
    assert out.read_text() == content


def test_a_problem_too_long_for_the_model_is_left_empty_and_counted(
    tmp_path: Path, problems: list[Problem]
) -> None:
    def refuse(prefix: str, suffix: str, max_gap: int) -> Filling:
        raise ContextLengthError("too long")

    done = write_completions(refuse, problems, tmp_path / "out")
    assert (done.written, done.too_long) == (3, 3)
    assert set(read_completions(tmp_path / "out", problems).values()) == {""}


def test_the_right_completions_pass(problems: list[Problem]) -> None:
    right = {problem.task_id: problem.canonical_solution for problem in problems}
    assert count_passed(problems, right) == 3
    assert count_passed(problems, right | {"Test/1": "    while True: pass\n    y = 0\n"}) == 2
    assert count_passed(problems, {"Test/0": right["Test/0"]}) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no problems"),
        ("{}\n", "line 1: task_id, prompt"),
        (json.dumps(LINES[0]) + "\n\nnonsense\n", "line 3 is not JSON"),
        (json.dumps(LINES[0] | {"suffix": 3}) + "\n", "line 1: suffix missing or no string"),
        ("[]\n", "line 1: expected a JSON object, got list"),
        (2 * (json.dumps(LINES[0]) + "\n"), "line 2: task_id 'Test/0' was there before"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(content)
    with pytest.raises(TaskError, match=reason):
        read_problems(path)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path, problems: list[Problem]) -> None:
    with pytest.raises(TaskError, match="does not exist"):
        read_problems(tmp_path / "none.jsonl")
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"x" * 99)[:-9])
    with pytest.raises(TaskError, match="cannot be read"):
        read_problems(tmp_path / "torn.gz")
    with pytest.raises(TaskError, match=r"without \.gz"):
        write_completions(Filler(), problems, tmp_path / "out.gz")
    with pytest.raises(StorageError, match="cannot be written"):
        write_completions(Filler(), problems, tmp_path / "no" / "out")
    with pytest.raises(ParameterError, match="max_gap"):
        write_completions(Filler(), problems, tmp_path / "out", max_gap=0)
