"""The recipes that teach the embedded model a new task, and rehearse the old ones."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from canvaslm.errors import TrainingError
from canvaslm.tasks import LEARNT, TASKS
from canvaslm.training.data.tasks import Mixture, Tasks, name_of
from canvaslm.training.learnt import BENT, LESSONS, Held, learnt
from canvaslm.training.part import LowRank
from canvaslm.training.recipe import Recipe
from canvaslm.training.trainer import Trainer


def mixtures(recipe: Recipe) -> tuple[Mixture, ...]:
    assert isinstance(recipe.data, Tasks)
    return recipe.data.mixtures


def parts(taught: tuple[Mixture, ...]) -> tuple[slice, slice]:
    """Of a recipe's mixtures: the lesson's, the old ones."""
    return slice(len(taught)), slice(len(taught), None)


@pytest.mark.parametrize("task", LEARNT)
def test_every_step_shows_the_new_task(task: str) -> None:
    lesson = LESSONS[task]
    for step in range(lesson.steps):
        now = [mixture for mixture in lesson.mixtures if mixture.due(step)]
        assert now
        assert {name for mixture in now for name in mixture.tasks} == {task}
        assert len({name_of(mixture) for mixture in now}) == len(now)  # told apart in the log


@pytest.mark.parametrize("task", LEARNT)
@pytest.mark.parametrize("rehearse", [1, 2, 5])
def test_every_old_task_has_its_turn_beside_the_new_one(task: str, rehearse: int) -> None:
    lesson = LESSONS[task]
    new, old = (mixtures(learnt(task, rehearse=rehearse))[part] for part in parts(lesson.mixtures))
    assert new == lesson.mixtures
    assert set(lesson.turns) == set(TASKS)
    for stage in (None, *lesson.held):
        first = lesson.rehearsed_since if stage is None else stage.since
        pause = stage.every if stage and stage.every else rehearse
        turn = range(first, first + pause * len(lesson.turns))
        due = {step: [mixture for mixture in old if mixture.due(step)] for step in turn}
        assert all(len(now) == (step % pause == 0) for step, now in due.items())
        now = [mixture for some in due.values() for mixture in some]
        assert sorted(name for mixture in now for name in mixture.tasks) == sorted(lesson.turns)
        for mixture in now:
            nats = stage and stage.token + stage.canvas * mixture.canvas_length
            assert mixture.held == (nats or 0.0)
    assert not any(mixture.due(step) for step in range(lesson.rehearsed_since) for mixture in old)


def test_a_wide_canvas_is_held_by_its_sum() -> None:
    held = Held(since=0, token=3.0, wide=0.5).over(LESSONS["motif"].mixtures[0])
    assert (held.held, held.wide_share) == (3.0, 0.5)
    assert held.wide_weight * held.canvas_length == held.wide_length
    as_it_is = Held(since=0, token=3.0).over(LESSONS["motif"].mixtures[0])
    assert (as_it_is.wide_share, as_it_is.wide_weight) == (0.1, 1.0)


def test_nothing_is_rehearsed_unless_it_is_asked_for() -> None:
    assert mixtures(learnt("star", steps=1, rehearse=0)) == LESSONS["star"].mixtures


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0)])
def test_holding_by_nothing_is_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(TrainingError, match="holding needs a weight above 0"):
        Held(since=1, token=weights[0], canvas=weights[1])


def test_holding_never_is_refused() -> None:
    with pytest.raises(TrainingError, match="every counts steps, at least 1, got 0"):
        Held(since=1, token=1.0, every=0)


def test_another_task_is_refused() -> None:
    with pytest.raises(TrainingError, match="'scenes': use one of star, motif"):
        learnt("scenes", steps=1)


def test_a_whole_answer_fits_a_canvas() -> None:
    import random

    from canvaslm.tasks import get

    for name, lesson in LESSONS.items():
        task, rng = get(name), random.Random(0)
        longest = max(len(task.sample(rng, split="train").answer) for _ in range(200))
        assert all(longest < mixture.canvas_length for mixture in lesson.mixtures)


@pytest.mark.parametrize("task", LEARNT)
def test_a_lesson_fits_its_steps(task: str) -> None:
    lesson = LESSONS[task]
    assert all(mixture.since < lesson.steps for mixture in lesson.mixtures)
    assert [held.since for held in lesson.held] == sorted(held.since for held in lesson.held)
    assert lesson.rehearsed_since < lesson.held[0].since
    assert lesson.held[-1].since < lesson.steps


@pytest.mark.parametrize("turns", [(), ("star",), ("ask", "json")])
def test_old_tasks_without_a_turn_are_refused(turns: tuple[str, ...]) -> None:
    with pytest.raises(TrainingError, match="every old task has a turn"):
        replace(LESSONS["star"], turns=turns)


def test_what_learns_is_an_adapter_and_it_changes_at_once() -> None:
    recipe = learnt("star", steps=2, rank=4, rehearse=0)
    assert recipe.part == LowRank(rank=4, alpha=8.0, targets=BENT)
    small = replace(LESSONS["star"].mixtures[0], documents=4, canvases=2, wide_share=0.0)
    recipe = replace(recipe, data=Tasks(mixtures=(small,)))
    trainer = Trainer(recipe, recipe.start.tokenizer(Path(), seed=0), device=torch.device("cpu"))
    assert not any(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
    trainer.advance()
    assert all(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
