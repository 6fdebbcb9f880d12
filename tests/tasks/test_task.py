"""What every task promises, checked on all of them."""

import itertools
import random
from pathlib import Path
from typing import get_args

import pytest

import canvaslm.tasks.sudoku
from canvaslm.errors import TaskError
from canvaslm.tasks import FORMS, LEARNT, TASKS, Example, Split, Task, get, split_of
from canvaslm.tasks.code import Code
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.tasks.sudoku_protocol import ProtocolSudoku

LIBRARY = Path(canvaslm.tasks.sudoku.__file__).parents[1]  # a small stand-in for the real one


def small(name: str) -> Task:
    """The task, with pools that are quick to build."""
    puzzles = Sudoku(train_pool=24, test_pool=8)
    if name == "sudoku":
        return puzzles
    if name == "sudoku-protocol":
        return ProtocolSudoku(puzzles=puzzles)
    if name == "code":
        return Code(library=LIBRARY)
    return get(name)


@pytest.fixture(params=(*TASKS, *FORMS, *LEARNT))
def task(request: pytest.FixtureRequest) -> Task:
    return small(request.param)


def samples(task: Task, split: Split, count: int, seed: int = 1) -> list[Example]:
    rng = random.Random(seed)
    return [task.sample(rng, split=split) for _ in range(count)]


def test_every_name_leads_to_its_task() -> None:
    names = (*TASKS, *FORMS, *LEARNT)
    assert [get(name).name for name in names] == list(names)


def test_what_adapters_teach_is_none_of_what_the_embedded_model_knows() -> None:
    assert not set(TASKS) & set(LEARNT)


def test_an_unknown_name_is_refused_with_the_names() -> None:
    with pytest.raises(TaskError, match="'chess' does not exist: use one of sudoku, scenes"):
        get("chess")


def test_no_case_lies_on_both_sides(task: Task) -> None:
    for split in get_args(Split):
        for example in samples(task, split, 400):
            assert split_of(example.canonical) == split


def test_one_case_in_twenty_is_held_out() -> None:
    sides = [split_of(str(i)) for i in range(10_000)]
    assert 400 < sides.count("test") < 600


def test_the_split_of_a_case_never_changes() -> None:
    """Weights trained elsewhere must find the same cases held out here."""
    assert [i for i in range(100) if split_of(str(i)) == "test"] == [2, 30, 52]


def test_the_given_answer_is_right(task: Task) -> None:
    for split in get_args(Split):
        for example in samples(task, split, 100):
            score = task.score(example, example.answer)
            assert score.correct
            assert set(score.details.values()) == {1.0}


def test_other_answers_are_wrong(task: Task) -> None:
    examples = samples(task, "train", 60)
    for example, other in itertools.pairwise(examples):
        if example.answer != other.answer:
            assert not task.score(example, other.answer).correct


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "\ud800", "(" * 3000, "[" * 3000, "<a>" * 900, "1" * 5000, "no \u0663"]
)
def test_no_text_upsets_a_scorer(task: Task, text: str) -> None:
    for example in samples(task, "train", 12):
        score = task.score(example, text)
        assert not score.correct
        assert all(0 <= part <= 1 for part in score.details.values())


def test_equal_random_states_give_equal_examples(task: Task) -> None:
    assert samples(task, "train", 30, seed=5) == samples(task, "train", 30, seed=5)
    assert samples(task, "train", 30, seed=5) != samples(task, "train", 30, seed=6)


def test_every_bin_can_be_asked_for_and_comes_up_unasked(task: Task, rng: random.Random) -> None:
    for name in task.bins:
        for split in get_args(Split):
            assert task.sample(rng, split=split, bin=name).bin == name
    assert {example.bin for example in samples(task, "train", 100)} == set(task.bins)


def test_examples_carry_the_name_of_their_task(task: Task, rng: random.Random) -> None:
    assert task.sample(rng, split="test").task == task.name


def test_an_unknown_bin_is_refused_with_the_bins(task: Task, rng: random.Random) -> None:
    with pytest.raises(TaskError, match=f"task {task.name} has no bin 'easy': use one of"):
        task.sample(rng, split="train", bin="easy")


def test_an_unknown_split_is_refused(task: Task, rng: random.Random) -> None:
    with pytest.raises(TaskError, match="split 'dev' does not exist: use one of train, test"):
        task.sample(rng, split="dev")
