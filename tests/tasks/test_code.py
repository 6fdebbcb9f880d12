"""Gaps in functions: whole lines or spans, one right answer, and nothing is ever run."""

import ast
import random
from pathlib import Path

import pytest

import canvaslm.tasks.code
from canvaslm.errors import TaskError
from canvaslm.tasks.code import COMPLETE, FILL, GAP, Code
from canvaslm.tasks.code_stdlib import canonical
from canvaslm.tasks.task import Example

TASK = Code(library=Path(canvaslm.tasks.code.__file__).parents[1])


@pytest.fixture(params=TASK.bins)
def examples(request: pytest.FixtureRequest) -> list[Example]:
    rng = random.Random(2)
    return [TASK.sample(rng, split="train", bin=request.param) for _ in range(200)]


def test_the_answer_put_in_makes_the_whole_function(examples: list[Example]) -> None:
    for example in examples:
        tree = ast.parse(TASK.assembled(example, example.answer))
        assert len(tree.body) == 1
        assert isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef)


def test_the_case_is_the_whole_function(examples: list[Example]) -> None:
    for example in examples:
        assert canonical(TASK.assembled(example, example.answer)) == example.canonical


def test_sizes_are_kept(examples: list[Example]) -> None:
    for example in examples:
        assert len(TASK.assembled(example, example.answer)) <= 420
        assert 1 <= len(example.answer) <= 180
        if example.bin.endswith("complete"):
            assert example.prompt.startswith(COMPLETE)
        else:
            assert example.prompt.startswith(FILL)
            assert example.prompt.count(GAP) == 1
        if example.bin.endswith("fill"):
            assert example.prompt.split("\n").count(GAP) == 1
            assert example.answer.count("\n") < 3


def test_the_signature_is_always_given(examples: list[Example]) -> None:
    for example in examples:
        assert "def " in example.prompt


def test_trailing_white_space_does_not_count_but_indentation_does(examples: list[Example]) -> None:
    for example in examples[:20]:
        assert TASK.score(example, example.answer + " \n").correct
        if not example.bin.endswith("span"):  # a span may begin within a line
            assert not TASK.score(example, example.answer.lstrip()).correct


def test_other_code_compiles_but_is_wrong() -> None:
    """Where the whole body is asked for, `pass` can stand in."""
    rng = random.Random(2)
    drawn = [TASK.sample(rng, split="train", bin="textbook-complete") for _ in range(200)]
    fitting = [example for example in drawn if example.prompt.count("\n") == 1]
    assert fitting
    for example in fitting:
        score = TASK.score(example, "    pass")
        assert (score.correct, score.details["compiles"]) == (False, 1.0)


def test_broken_code_does_not_compile(examples: list[Example]) -> None:
    broken = "    return )\n'''\n\"\"\"\n)"  # also where the gap is in a string
    for example in examples[:20]:
        score = TASK.score(example, broken)
        assert (score.correct, score.details["compiles"]) == (False, 0.0)


def test_answers_are_never_run(examples: list[Example], tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    text = f"    pass\nopen({str(trap)!r}, 'w')"
    for example in examples[:20]:
        TASK.score(example, text)
    assert not trap.exists()


def test_the_name_of_a_textbook_function_tells_its_body() -> None:
    rng = random.Random(8)
    answers: dict[str, str] = {}
    for _ in range(3000):
        example = TASK.sample(rng, split="train", bin="textbook-complete")
        assert answers.setdefault(example.prompt, example.answer) == example.answer


def test_half_of_the_examples_are_textbook() -> None:
    rng = random.Random(9)
    bins = [TASK.sample(rng, split="train").bin for _ in range(1000)]
    assert 430 < sum(name.startswith("textbook") for name in bins) < 570


def test_a_library_without_source_is_refused(tmp_path: Path, rng: random.Random) -> None:
    with pytest.raises(TaskError, match="or use the textbook bins"):
        Code(library=tmp_path).sample(rng, split="train", bin="fill")
    Code(library=tmp_path).sample(rng, split="train", bin="textbook-fill")
