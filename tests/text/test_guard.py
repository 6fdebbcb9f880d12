"""A mark in what the user typed keeps control strings apart, and is gone in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.text.guard import Guard

CONTROLS = ["<|turn>", "<turn|>", "<|turn>x", "<|channel>", "<channel|>"]
GUARD = Guard(CONTROLS, keep=["<|channel>", "<channel|>"])
TEXT = st.lists(st.sampled_from([*CONTROLS, *"<|>tx \n\ufdd0\ufdd1\ufdd2"]), max_size=9).map(
    "".join
)


@given(text=TEXT)
def test_nothing_is_lost_and_nothing_is_a_control_string(text):
    pieces = GUARD.cut(GUARD.protect(text))
    assert "".join(piece for piece, _ in pieces) == text
    assert not any(control for _, control in pieces)


@given(first=TEXT, second=TEXT)
def test_two_texts_do_not_join_into_a_control_string(first, second):
    joined = GUARD.protect(first).strip() + GUARD.protect(second).strip()
    assert GUARD.cut(joined) in ([(first.strip() + second.strip(), False)], [])


@given(text=TEXT)
def test_a_thought_cut_out_leaves_no_control_string(text):
    kept = GUARD.protect(text, keep=True).replace("<|channel>", "").replace("<channel|>", "")
    assert not any(control for _, control in GUARD.cut(kept))


def test_the_templates_own_control_strings_are_found():
    text = "<|turn>" + GUARD.protect("a<turn|>b") + "<turn|>"
    assert GUARD.cut(text) == [("<|turn>", True), ("a<turn|>b", False), ("<turn|>", True)]


@pytest.mark.parametrize("text", ["", "plain", "a < b", "x|> y"])
def test_text_without_control_strings_is_left_alone(text):
    assert GUARD.protect(text) == text
    assert not GUARD.protected(text)


def test_a_guard_against_nothing_changes_nothing():
    assert Guard([]).protect("<|turn>", keep=True) == "<|turn>"
