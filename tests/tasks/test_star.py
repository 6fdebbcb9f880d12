"""A star has one path to its goal, and its edges say which."""

import random

import pytest

from canvaslm.tasks.star import LABELS, Star
from canvaslm.tasks.task import Example

TASK = Star()


def read(prompt: str) -> tuple[list[tuple[str, str]], str, str]:
    """Edges outwards, centre and goal of a prompt."""
    _, edges, ends = prompt.split("\n")
    centre, goal = ends.split(">")
    return [(edge[1], edge[0]) for edge in edges.split(",")], centre, goal


def solve(prompt: str) -> str:
    """The path, followed back from the goal."""
    edges, centre, path = read(prompt)
    before = {second: first for first, second in edges}
    while path[0] != centre:
        path = before[path[0]] + path
    return path


def towards(prompt: str, goal: str) -> str:
    """The same graph with another goal."""
    return prompt[:-1] + goal


def examples(rng: random.Random, bin: str, count: int = 50) -> list[Example]:
    return [TASK.sample(rng, split="train", bin=bin) for _ in range(count)]


@pytest.mark.parametrize("bin", TASK.bins)
def test_following_the_goal_back_gives_the_answer(rng: random.Random, bin: str) -> None:
    for example in examples(rng, bin):
        assert solve(example.prompt) == example.answer


@pytest.mark.parametrize("bin", TASK.bins)
def test_arms_of_equal_length_leave_the_centre(rng: random.Random, bin: str) -> None:
    arms, length = map(int, bin.split("x"))
    for example in examples(rng, bin):
        edges, centre, _ = read(example.prompt)
        firsts = [first for first, _ in edges]
        assert len(set(edges)) == arms * length
        assert firsts.count(centre) == arms
        assert all(firsts.count(node) == 1 for node in set(firsts) - {centre})
        ends = {second for _, second in edges} - set(firsts)
        lengths = {len(solve(towards(example.prompt, end))) for end in ends}
        assert (len(ends), lengths) == (arms, {length + 1})


def test_a_drill_asks_for_a_chain_or_for_the_way_back(rng: random.Random) -> None:
    for drill in TASK.drills:
        example = TASK.sample(rng, split="train", bin=drill)
        assert example.bin == drill
        if drill.endswith("<"):
            goal, centre = example.prompt[-3:].split("<")
            turned = example.prompt[:-3] + f"{centre}>{goal}"
            assert solve(turned) == example.answer[::-1]
        else:
            assert solve(example.prompt) == example.answer
            assert drill.startswith("1x")


def test_drills_are_only_drawn_when_asked_for(rng: random.Random) -> None:
    assert {TASK.sample(rng, split="train").bin for _ in range(100)} == set(TASK.bins)


def test_the_order_of_edges_says_nothing(rng: random.Random) -> None:
    """The first edge of a prompt is the answer's no more often than any other."""
    found = examples(rng, "2x3", 600)
    first = sum("".join(read(one.prompt)[0][0]) in one.answer for one in found)
    assert 240 < first < 360


def test_another_arm_is_wrong_from_its_first_step_on(rng: random.Random) -> None:
    for example in examples(rng, "3x5"):
        edges, _, goal = read(example.prompt)
        ends = {b for _, b in edges} - {a for a, _ in edges} - {goal}
        other = solve(towards(example.prompt, min(ends)))
        score = TASK.score(example, other)
        assert (score.correct, score.details["first"]) == (False, 0.0)
        assert score.details["nodes"] == pytest.approx(1 / 6)


def test_a_path_that_goes_on_is_wrong(rng: random.Random) -> None:
    example = TASK.sample(rng, split="test", bin="3x3")
    assert TASK.score(example, f" {example.answer}\n").correct
    assert not TASK.score(example, example.answer + "A").correct
    assert not TASK.score(example, example.answer[:-1]).correct


def test_every_node_is_one_token_of_the_embedded_model() -> None:
    from canvaslm.engine.loading import POCKET
    from canvaslm.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(POCKET)
    assert tokenizer is not None
    rng = random.Random(0)
    for _ in range(50):
        text = "".join(rng.sample(LABELS, 8))
        assert len(tokenizer.encode(text)) == len(text)
