"""Cases of the `ask` task as typed questions with known answers."""

from __future__ import annotations

import random

from canvaslm import tasks
from canvaslm.engine.decide.examples import Example
from canvaslm.engine.decide.questions import Pick, Question, Rate, YesNo
from canvaslm.tasks.task import Split


def asked(n: int, *, seed: int, split: Split) -> list[Example]:
    """`n` scenes with a question each: half of them yes or no, the others to pick or to rate.

    Case i depends on (seed, split, i) alone.
    """
    task, examples = tasks.get("ask"), []
    for number in range(n):
        rng = random.Random(f"decide {split} {seed} {number}")
        case = task.sample(rng, split=split, bin=task.bins[number % len(task.bins)])
        state, _, question = case.prompt.partition("\n")
        examples.append(as_example(state, question, case.answer))
    return examples


def as_example(state: str, asked: str, answer: str) -> Example:
    """One case; how many there are of something is a place on a scale."""
    text, _, listed = asked.partition("? ")
    question: Question = YesNo(text)
    if listed:
        kind = Rate if text.startswith("How many") else Pick
        question = kind(f"{text}?", listed.split(", "))
    right = [option.text for option in question.listed].index(answer)
    return Example(state=state, questions=[question], right=[right])
