"""The feed of a few-step student, its teacher's answers, and runs that are resumed."""

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import MIXTURES, tiny_recipe
from tests.training.test_loop import same_state

from canvaslm.diffusion.skip import Skip
from canvaslm.diffusion.step import Sampler
from canvaslm.errors import TrainingError
from canvaslm.model.presets import pocket
from canvaslm.tasks import TASKS, Score, get
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.cut import part_of
from canvaslm.training.data.tasks import Corpus, Mixture, Tasks
from canvaslm.training.distil.data import Fewer, FewerFeed
from canvaslm.training.distil.recipe import WALKED, anchors, fewer
from canvaslm.training.distil.taught import judge, lines, read_taught, teach
from canvaslm.training.distil.walk import WalkedBatch
from canvaslm.training.loop import train
from canvaslm.training.recipe import POCKET_MIXTURES

WALKING = (
    Mixture(tasks={"ask": 1.0}, documents=2, canvas_length=8, canvases=2, causal_share=0.0),
    Mixture(tasks={"scenes": 1.0}, documents=2, canvas_length=24, causal_share=0.0, every=2),
)


def opened(tokenizer: Tokenizer, **changes: object) -> FewerFeed:
    settings: dict[str, object] = {"anchor": MIXTURES, "walked": WALKING, "passes": 2}
    data = Fewer(**(settings | changes))  # type: ignore[arg-type]
    feed = data.open(tokenizer, pocket(hidden_size=64, layers=3, vocab_size=400), seed=3)
    assert isinstance(feed, FewerFeed)
    return feed


def test_the_ordinary_part_of_a_step_is_what_it_would_be_alone(tokenizer: Tokenizer) -> None:
    alone = Corpus(Tasks(mixtures=MIXTURES), tokenizer, seed=3)
    for step in range(3):
        both = opened(tokenizer).micros(step)
        for micro, expected in zip(both, alone.micros(step), strict=False):
            assert micro.name == expected.name
            assert all(
                torch.equal(tensor, expected.batch.tensors[name])
                for name, tensor in micro.batch.tensors.items()
            )


def test_batches_are_a_pure_function_of_seed_and_step(tokenizer: Tokenizer) -> None:
    one, other = opened(tokenizer).walked(4), opened(tokenizer).walked(4)
    for first, second in zip(one, other, strict=True):
        for name, tensor in first.batch.tensors.items():
            assert torch.equal(tensor, second.batch.tensors[name])
    later = opened(tokenizer).walked(6)[0].batch
    assert not torch.equal(one[0].batch.tensors["seed_R"], later.tensors["seed_R"])


def test_every_number_of_passes_comes_up_to_the_most(tokenizer: Tokenizer) -> None:
    feed = opened(tokenizer)
    steps = torch.cat([feed.walked(step)[0].batch.tensors["steps_R"] for step in range(20)])
    assert set(steps.tolist()) == {0, 1, 2}


def test_a_walked_batch_is_cut_by_documents(tokenizer: Tokenizer) -> None:
    micro = opened(tokenizer).walked(0)[0]
    part = part_of(micro, rank=1, size=2).batch
    assert isinstance(part, WalkedBatch)
    assert isinstance(micro.batch, WalkedBatch)
    assert torch.equal(part.seed_R, micro.batch.seed_R[2:])
    assert part.rules == micro.batch.rules


def test_a_walked_batch_is_held_as_much_as_its_mixture(tokenizer: Tokenizer) -> None:
    held = (replace(WALKING[0], held=3.0), WALKING[1])
    assert [m.batch.held for m in opened(tokenizer, walked=held).walked(0)] == [3.0, 0.0]


def test_answers_that_a_held_mixture_would_ignore_are_refused() -> None:
    held = (replace(WALKING[0], held=1.0), WALKING[1])
    with pytest.raises(TrainingError, match="answers to ask are never learnt"):
        Fewer(anchor=(), walked=held, taught={"ask": "x.jsonl"})


def test_given_tokens_and_settings_out_of_range_are_refused() -> None:
    given = Mixture(tasks={"sudoku": 1.0}, documents=1, canvas_length=96, pinned_share=0.5)
    with pytest.raises(TrainingError, match="pinned_share"):
        Fewer(anchor=(), walked=(given,))
    held = Mixture(tasks={"ask": 1.0}, documents=1, canvas_length=96, held=1.0)
    with pytest.raises(TrainingError, match="every walked mixture is held to the base"):
        Fewer(anchor=(), walked=(held,))
    with pytest.raises(TrainingError, match="passes"):
        Fewer(anchor=(), walked=(), passes=-1)
    with pytest.raises(TrainingError, match="certainty"):
        Fewer(anchor=(), walked=(), certainty=-0.1)
    with pytest.raises(TrainingError, match="skip and hold"):
        Fewer(anchor=(), walked=(), sampler=Sampler(skip=Skip()))
    with pytest.raises(TrainingError, match="answers to code are never learnt"):
        Fewer(anchor=(), walked=WALKING, taught={"code": "x.jsonl", "ask": "y.jsonl"})


def test_the_recipe_visits_every_mixture(tokenizer: Tokenizer) -> None:
    recipe = fewer(steps=10)
    assert isinstance(recipe.data, Fewer)
    for mixture in (*recipe.data.anchor, *recipe.data.walked):
        assert 0 <= mixture.phase < mixture.every
    assert not any(mixture.causal_share or mixture.causal_prompt for mixture in WALKED)
    assert {m.documents for m in anchors(3)} == {m.documents for m in POCKET_MIXTURES}
    assert {task for m in WALKED for task in m.tasks} == set(TASKS)


class FakeTeacher:
    """Answers rightly, then with something well formed, then with neither, in turn."""

    def __init__(self, task: str) -> None:
        self.task, self.asked = task, 0

    def generate(self, prompt: str, *, params: object, mode: str) -> object:
        del prompt, params, mode
        self.asked += 1
        example = get(self.task).sample(random.Random("scenes/0/0"), split="train")
        texts = [
            example.answer,
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"></svg>',
            "no",
        ]

        class Answer:
            text = texts[(self.asked - 1) % 3]

        return Answer()


def test_answers_are_judged_kept_and_not_asked_twice(tmp_path: Path) -> None:
    path, teacher = tmp_path / "scenes.jsonl", FakeTeacher("scenes")
    teach(teacher, path, task="scenes", count=2)  # type: ignore[arg-type]
    with path.open("a") as file:
        file.write('{"cut": "of')
    seen: list[tuple[int, int]] = []
    teach(teacher, path, task="scenes", count=3, progress=lambda *n: seen.append(n))  # type: ignore[arg-type]
    assert teacher.asked == 3
    assert seen == [(3, 2)]
    assert [line["verdict"] for line in lines(path)] == ["right", "valid", "wrong"]
    right, valid = read_taught(str(path), task="scenes")
    assert right.answer == get("scenes").sample(random.Random("scenes/0/0"), split="train").answer
    assert valid.answer == lines(path)[1]["given"]


def test_another_seed_or_task_does_not_go_on_with_a_file(tmp_path: Path) -> None:
    path, teacher = tmp_path / "scenes.jsonl", FakeTeacher("scenes")
    teach(teacher, path, task="scenes", count=1)  # type: ignore[arg-type]
    for changes in ({"task": "scenes", "seed": 1}, {"task": "ask"}):
        with pytest.raises(TrainingError, match="another seed or task"):
            teach(teacher, path, count=2, **changes)  # type: ignore[arg-type]
    assert teacher.asked == 1


def test_verdicts_go_by_the_scorer() -> None:
    assert judge(Score(correct=True)) == "right"
    assert judge(Score(correct=False, details={"compiles": 1.0, "exact": 0.0})) == "valid"
    assert judge(Score(correct=False, details={"valid": 0.0})) == "wrong"
    assert judge(Score(correct=False, details={"cells": 1.0})) == "wrong"


def test_a_file_that_teaches_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    example = asdict(get("scenes").sample(random.Random(0), split="train"))
    unknown = json.dumps(example | {"verdict": "perhaps", "given": ""})
    fields = '{"verdict": "right", "given": ""}'
    for text in ("", "nonsense", "[1]", "3", unknown, fields, '{"given": ""}'):
        path.write_text(text + "\n" if text else "")
        with pytest.raises(TrainingError, match=r"x\.jsonl"):
            read_taught(str(path), task="scenes")
    with pytest.raises(TrainingError, match="absent"):
        read_taught(str(tmp_path / "absent"), task="scenes")


def test_a_teachers_answers_are_the_targets(tokenizer: Tokenizer, tmp_path: Path) -> None:
    example = get("ask").sample(random.Random(0), split="train")
    line = asdict(example) | {"given": "zebra", "verdict": "valid"}
    (tmp_path / "ask.jsonl").write_text(json.dumps(line) + "\n")
    feed = opened(tokenizer, taught={"ask": str(tmp_path / "ask.jsonl")})
    wanted = tokenizer.encode("zebra")
    for row in feed.walked(0)[0].batch.clean_RL.tolist():
        assert row[: len(wanted)] == wanted[:8]
    assert feed.fingerprint != opened(tokenizer).fingerprint


def test_a_stopped_run_is_resumed_bit_by_bit(folder: Path, other: Path) -> None:
    data = Fewer(anchor=MIXTURES, walked=WALKING, passes=2, certainty=0.5)
    recipe = tiny_recipe(steps=4, decay=0.0, data=data)
    train(recipe, folder, way="plain")

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, other, way="plain", report=stop)
    train(recipe, other, resume=True, way="plain")
    assert same_state(folder, other)
