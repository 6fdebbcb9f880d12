"""The recipes that teach the embedded model a new task, and rehearse the old ones."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import canvaslm
from canvaslm.engine.loading import POCKET
from canvaslm.engine.params import Params
from canvaslm.errors import TrainingError
from canvaslm.tasks import LEARNT, TASKS, get
from canvaslm.training.data.tasks import Mixture, Tasks, name_of
from canvaslm.training.distil.data import Fewer
from canvaslm.training.learnt import BENT, LESSONS, Held, learnt
from canvaslm.training.part import LowRank
from canvaslm.training.recipe import Recipe
from canvaslm.training.trainer import Trainer


def mixtures(recipe: Recipe) -> tuple[Mixture, ...]:
    """All but those that the sampler walks."""
    if isinstance(recipe.data, Fewer):
        return recipe.data.anchor
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


@pytest.mark.parametrize("rehearse", [1, 2, 5])
def test_the_sampler_walks_another_old_task_in_every_step(rehearse: int) -> None:
    lesson, data = LESSONS["star"], learnt("star", rehearse=rehearse).data
    assert isinstance(data, Fewer)
    assert (data.passes, data.certainty) == (data.sampler.max_steps - 1, 0.0)
    assert not any(m.due(step) for step in range(lesson.walked[0].since) for m in data.walked)
    old = data.anchor[len(lesson.mixtures) :]
    for stage in lesson.walked:
        turn = range(stage.since, stage.since + len(lesson.turns))
        due = [[m for m in data.walked if m.due(step)] for step in turn]
        assert all(len(now) == 1 for now in due)
        assert sorted(task for (m,) in due for task in m.tasks) == sorted(lesson.turns)
        assert {m.held for (m,) in due} == {stage.token + stage.canvas * 256}
        for step, (walked,) in zip(turn, due, strict=True):
            plain = [m for m in old if m.due(step)]
            assert plain
            assert not any(set(m.tasks) & set(walked.tasks) for m in plain)


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
    assert [held.since for held in lesson.walked] == sorted(held.since for held in lesson.walked)
    assert all(held.since < lesson.steps for held in (*lesson.held, *lesson.walked))


@pytest.mark.parametrize("turns", [(), ("star",), ("ask", "json")])
def test_old_tasks_without_a_turn_are_refused(turns: tuple[str, ...]) -> None:
    with pytest.raises(TrainingError, match="every old task has a turn"):
        replace(LESSONS["star"], turns=turns)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"held": ()}, "rehearsed from step 300 on, and held to later"),
        ({"rehearsed_since": 2000}, "rehearsed from step 2000 on, and held to later"),
        ({"walked": (Held(since=9, token=1.0), Held(since=9, token=2.0))}, r"one after .*\[9, 9\]"),
    ],
)
def test_stages_that_cannot_follow_each_other_are_refused(
    change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TrainingError, match=reason):
        replace(LESSONS["star"], **change)


def test_the_adapter_of_the_run_finds_held_out_paths() -> None:
    folder = Path(__file__).parents[2] / "docs" / "star" / "model"
    task, lm = get("star"), canvaslm.load(POCKET, adapter=folder)
    rng = random.Random(5)
    asked = [task.sample(rng, split="test", bin="3x3") for _ in range(8)]
    told = [lm.generate(one.prompt, params=Params(seed=n)).text for n, one in enumerate(asked)]
    right = [task.score(one, text).correct for one, text in zip(asked, told, strict=True)]
    assert sum(right) >= 6


def test_what_learns_is_an_adapter_and_it_changes_at_once() -> None:
    recipe = learnt("star", steps=2, rank=4, rehearse=0)
    assert recipe.part == LowRank(rank=4, alpha=8.0, targets=BENT)
    small = replace(LESSONS["star"].mixtures[0], documents=4, canvases=2, wide_share=0.0)
    recipe = replace(recipe, data=Tasks(mixtures=(small,)))
    trainer = Trainer(recipe, recipe.start.tokenizer(Path(), seed=0), device=torch.device("cpu"))
    assert not any(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
    trainer.advance()
    assert all(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
