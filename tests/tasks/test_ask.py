"""Questions have one right answer, and their forms give nothing away."""

import random
from collections import Counter

import pytest

from canvaslm.tasks.ask import Ask
from canvaslm.tasks.scenes import COLOURS
from canvaslm.tasks.task import Example

TASK = Ask()


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    rng = random.Random(3)
    return [TASK.sample(rng, split="train") for _ in range(3000)]


def parts(example: Example) -> list[str]:
    scene, question = example.prompt.split("\n")
    return scene, question


def of_bin(examples: list[Example], name: str) -> list[Example]:
    return [example for example in examples if example.bin == name]


def test_yes_and_no_are_as_likely(examples: list[Example]) -> None:
    answers: Counter[str] = Counter(example.answer for example in of_bin(examples, "yes/no"))
    assert set(answers) == {"yes", "no"}
    assert abs(answers["yes"] / answers.total() - 0.5) < 0.05


def test_yes_and_no_are_as_likely_for_every_form_of_question(examples: list[Example]) -> None:
    forms: dict[str, Counter[str]] = {}
    for example in of_bin(examples, "yes/no"):
        form = " ".join(parts(example)[1].split()[:3])
        forms.setdefault(form, Counter())[example.answer] += 1
    for form, answers in forms.items():
        if answers.total() > 200:
            assert abs(answers["yes"] / answers.total() - 0.5) < 0.12, form


def test_choices_offer_the_answer_once(examples: list[Example]) -> None:
    for example in of_bin(examples, "choice"):
        options = parts(example)[1].partition("? ")[2].split(", ")
        assert options.count(example.answer) == 1
        assert len(set(options)) == len(options) >= 3


def test_scenes_have_two_to_four_shapes(examples: list[Example]) -> None:
    counts = {sum(parts(example)[0].count(colour) for colour in COLOURS) for example in examples}
    assert counts == {2, 3, 4}


def test_the_shape_asked_about_is_the_only_one_of_its_kind(examples: list[Example]) -> None:
    for example in examples:
        scene, question = parts(example)
        for kind in ("circle", "square", "triangle"):
            if f"the {kind}" in question:
                assert scene.count(kind) == 1


def test_equal_prompts_have_equal_answers(examples: list[Example]) -> None:
    answers: dict[str, str] = {}
    for example in examples:
        assert answers.setdefault(example.prompt, example.answer) == example.answer


def test_answers_agree_with_the_scene(examples: list[Example]) -> None:
    """Read two forms of question again, from the words alone."""
    for example in examples:
        scene, question = parts(example)
        words = question.removesuffix("?").split()
        if question.startswith("Is there a") and words[-1] != "shape" and len(words) == 5:
            there = f"{words[3]} {words[4]}" in scene
            if words[3] in COLOURS:
                assert example.answer == ("yes" if there else "no")
        if question.startswith("How many shapes are ") and words[4].strip("?") in COLOURS:
            assert example.answer == str(scene.count(words[4].strip("?")))


@pytest.mark.parametrize(
    ("text", "right"),
    [("yes", True), (" Yes\n", True), ("YES", True), ("no", False), ("yes.", False), ("", False)],
)
def test_the_word_counts_in_any_case(examples: list[Example], text: str, right: bool) -> None:
    example = next(one for one in examples if one.answer == "yes")
    assert TASK.score(example, text).correct is right
