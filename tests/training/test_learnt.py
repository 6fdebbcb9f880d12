"""The recipes that teach the embedded model a new task, and rehearse the old ones."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from canvaslm.errors import TrainingError
from canvaslm.tasks import LEARNT, TASKS
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.learnt import BENT, LESSONS, learnt
from canvaslm.training.part import LowRank
from canvaslm.training.recipe import Recipe
from canvaslm.training.trainer import Trainer


def mixtures(recipe: Recipe) -> tuple[Mixture, ...]:
    assert isinstance(recipe.data, Tasks)
    return recipe.data.mixtures


@pytest.mark.parametrize("task", LEARNT)
@pytest.mark.parametrize("rehearse", [1, 2, 5])
def test_every_old_task_has_its_turn_beside_the_new_one(task: str, rehearse: int) -> None:
    new, *old = mixtures(learnt(task, steps=1, rehearse=rehearse))
    assert new == LESSONS[task]
    assert (new.every, set(new.tasks)) == (1, {task})
    for step in range(rehearse * len(old)):
        now = [mixture for mixture in old if step % mixture.every == mixture.phase]
        assert len(now) == (step % rehearse == 0)
    assert {name for mixture in old for name in mixture.tasks} == set(TASKS)


def test_nothing_is_rehearsed_unless_it_is_asked_for() -> None:
    assert mixtures(learnt("star", steps=1, rehearse=0)) == (LESSONS["star"],)


def test_another_task_is_refused() -> None:
    with pytest.raises(TrainingError, match="'scenes': use one of star, motif"):
        learnt("scenes", steps=1)


def test_a_whole_answer_fits_a_canvas() -> None:
    import random

    from canvaslm.tasks import get

    for name, lesson in LESSONS.items():
        task, rng = get(name), random.Random(0)
        longest = max(len(task.sample(rng, split="train").answer) for _ in range(200))
        assert longest < lesson.canvas_length


def test_what_learns_is_an_adapter_and_it_changes_at_once() -> None:
    recipe = learnt("star", steps=2, rank=4, rehearse=0)
    assert recipe.part == LowRank(rank=4, alpha=8.0, targets=BENT)
    small = replace(LESSONS["star"], documents=4, canvases=2, wide_share=0.0)
    recipe = replace(recipe, data=Tasks(mixtures=(small,)))
    trainer = Trainer(recipe, recipe.start.tokenizer(Path(), seed=0), device=torch.device("cpu"))
    assert not any(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
    trainer.advance()
    assert all(bool(p.any()) for n, p in trainer.parameters.items() if n.endswith(".b"))
