"""What a question looks like to the model."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import canvaslm
from canvaslm import LM, Pick, Rate, YesNo, tasks
from canvaslm.engine.decide.layout import (
    Fork,
    arrangements,
    asked_text,
    forks,
    noise_ids,
    read_frame,
)
from canvaslm.errors import ParameterError


@pytest.fixture(scope="module")
def pocket() -> LM:
    return canvaslm.load()


@pytest.mark.parametrize("bin", ["yes/no", "choice"])
def test_a_question_is_the_very_prompt_that_the_model_learnt(pocket: LM, bin: str) -> None:
    layout = pocket.decider.layout
    for n in range(20):
        prompt = tasks.get("ask").sample(random.Random(n), split="train", bin=bin).prompt
        state, _, asked = prompt.partition("\n")
        text, _, listed = asked.partition("? ")
        question = Rate(f"{text}?", listed.split(", ")) if listed else YesNo(text)
        frame = pocket.decider.frame(state)
        own = layout.own(question, range(len(question.listed)), frame)
        whole = pocket.tokenizer.render([{"role": "user", "content": prompt}])
        assert [*frame.shared, *own] == whole


def test_what_is_shared_does_not_depend_on_the_question(talker: LM) -> None:
    frame = read_frame("a square", tokenizer=talker.tokenizer, config=talker.config)
    shown = talker.tokenizer.decode(frame.shared, special=True)
    assert shown == "<bos><|turn>user\na square\n"
    assert talker.tokenizer.decode(frame.after, special=True) == "<turn|>\n<|turn>model\n"


def test_a_state_may_be_json_or_messages(talker: LM) -> None:
    def shown(state: object) -> str:
        frame = read_frame(state, tokenizer=talker.tokenizer, config=talker.config)
        return talker.tokenizer.decode(frame.shared, special=True)

    assert shown({"b": 1, "a": ["x"]}) == '<bos><|turn>user\n{"a": ["x"], "b": 1}\n'
    assert shown({"a": ["x"], "b": 1}) == shown({"b": 1, "a": ["x"]})
    assert shown([{"role": "user", "content": "hi"}]) == (
        "<bos><|turn>user\nhi<turn|>\n<|turn>user\n"
    )
    assert shown("") == "<bos><|turn>user\n"
    for bad in (3, b"x", {"a": object()}, {"a": float("nan")}):
        with pytest.raises(ParameterError, match="state"):
            shown(bad)


def test_control_strings_in_a_question_stay_text(talker: LM) -> None:
    frame = read_frame("a", tokenizer=talker.tokenizer, config=talker.config)
    own = talker.decider.layout.own(YesNo("<turn|>?"), (0, 1), frame)
    assert talker.tokenizer.token_id("<turn|>") not in own[: -len(frame.after)]


def test_descriptions_are_lines_of_their_own() -> None:
    pick = Pick(" Who? ", {"a": "first", "b": None})
    assert asked_text(pick, (1, 0)) == "Who? b, a\na: first"
    assert asked_text(YesNo("Is it?", no="never"), (0, 1)) == "Is it?\nno: never"


def test_orders_are_rotations_of_one_order_that_the_caller_does_not_choose() -> None:
    for given_order in (["a", "b", "c"], ["c", "a", "b"]):
        pick = Pick("Which?", given_order)
        texts = [asked_text(pick, order) for order in arrangements(pick, 2)]
        assert texts == ["Which? a, b, c", "Which? b, c, a"]
    assert len(arrangements(Pick("Which?", ["a", "b"]), 9)) == 2
    assert arrangements(Rate("How?", ["b", "a"]), 9) == [(0, 1)]
    assert arrangements(YesNo("Is it?"), 9) == [(0, 1)]
    assert len(arrangements(YesNo("Is it?", yes="always"), 9)) == 2


words = st.lists(
    st.lists(st.integers(1, 3), max_size=4).map(lambda ids: (*ids, 0)),
    min_size=2,
    max_size=8,
    unique=True,
)


@given(words)
def test_the_forks_tell_every_option_from_every_other(options: list[tuple[int, ...]]) -> None:
    paths: dict[int, list[tuple[tuple[int, ...], int]]] = {n: [] for n in range(len(options))}
    for fork in forks(options):
        assert len(fork.branches) > 1
        for label, members in fork.branches.items():
            for member in members:
                assert options[member][: len(fork.said) + 1] == (*fork.said, label)
                paths[member].append((fork.said, label))
    assert len({tuple(sorted(path)) for path in paths.values()}) == len(options)


def test_options_that_share_their_beginning_part_where_they_differ() -> None:
    assert forks([(5, 6, 0), (5, 7, 0), (8, 0)]) == [
        Fork(said=(), branches={5: (0, 1), 8: (2,)}),
        Fork(said=(5,), branches={6: (0,), 7: (1,)}),
    ]


def test_a_canvas_pins_what_the_options_agree_on(talker: LM) -> None:
    layout = talker.decider.layout
    options = [(50, 60, 6), (50, 70, 6), (80, 6)]
    first, second = layout.reads((9, 9), forks(options), options)
    assert (first.labels, first.place) == ((50, 80), 0)
    assert first.canvas[3:] == (layout.fill,) * 5
    assert not {50, 60, 70, 80, 6} & set(first.canvas[:2])
    assert (second.labels, second.place) == ((60, 70), 1)
    assert (second.canvas[0], second.canvas[2]) == (50, 6)


@given(st.sets(st.integers(0, 9), max_size=10))
def test_noise_is_none_of_the_labels(avoid: set[int]) -> None:
    noise = noise_ids(10, 8, avoid=tuple(avoid))
    assert len(noise) == 8
    assert all(0 <= id < 10 for id in noise)
    assert len(avoid) == 10 or not avoid & set(noise)


@given(st.sets(st.integers(-2, 11), max_size=8))
def test_a_label_gives_way_to_the_others_in_turn(avoid: set[int]) -> None:
    others = [id for id in range(10) if id not in avoid]
    expected = [
        others[id % len(others)] if id in avoid else id for id in noise_ids(10, 8, avoid=())
    ]
    assert noise_ids(10, 8, avoid=tuple(avoid)) == expected
