"""Repairs: what is not doubted stays, and the score never falls."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvaslm import LM, Params
from canvaslm.control.language.constraints import Regex
from canvaslm.engine.rewriting.repair import compare, find_doubtful, make_drafts
from canvaslm.errors import ParameterError


@settings(max_examples=8)
@given(text=st.text(st.sampled_from("abé \n{"), min_size=1, max_size=14), seed=st.integers(0, 99))
def test_a_repair_never_scores_worse_and_tells_what_it_changed(
    writer: LM, text: str, seed: int
) -> None:
    made = writer.repair(text, rounds=2, params=Params(seed=seed))
    assert made.logprob >= made.logprob_before
    assert (made.text == text) == (not made.changes)
    rebuilt, done = "", 0
    for change in made.changes:
        assert text[change.start : change.end] == change.before
        rebuilt += text[done : change.start] + change.after
        done = change.end
    assert rebuilt + text[done:] == made.text
    assert writer.pool.in_use == 0


def test_what_is_not_doubted_is_left_alone(writer: LM) -> None:
    made = writer.repair("a circle", doubt=1e6)
    assert (made.text, made.changes, made.steps, made.rounds) == ("a circle", (), 0, 0)


def test_the_score_is_that_of_the_whole_answer(writer: LM) -> None:
    made = writer.repair("a circle", prompt="draw", doubt=1e6)
    ids = [*writer.tokenizer.encode("a circle"), writer.tokenizer.token_id("<turn|>")]
    scores = writer.score("draw", continuation=ids)
    assert made.logprob_before == pytest.approx(scores.sum, abs=1e-2)


def test_longer_texts_go_canvas_by_canvas(writer: LM) -> None:
    made = writer.repair("a square and a circle " * 3, rounds=1, params=Params(seed=1))
    assert made.rounds > 1


def test_doubtful_neighbours_are_one_run() -> None:
    assert find_doubtful([-5, -6, -1, -7], 4) == [range(2), range(3, 4)]
    assert find_doubtful([-1.0, -4.0], 4) == []


def test_the_worst_run_is_also_tried_shorter_and_longer() -> None:
    drafts = make_drafts([1, 2, 3, 4], [range(1), range(2, 4)], [-5, 0, -9, -6])
    assert drafts == [[-1, 2, -1, -1], [1, 2, -1], [1, 2, -1, -1, -1]]


def test_changes_are_whole_words() -> None:
    (change,) = compare("for wxrd in words", "for word in words")
    assert (change.start, change.end, change.before, change.after) == (4, 8, "wxrd", "word")


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        ("", {}, "nothing to repair"),
        (7, {}, "must be a text"),
        ("a", {"doubt": 0}, "doubt must be positive"),
        ("a", {"rounds": 0}, "rounds must be at least 1"),
        ("a", {"params": Params(constraint=Regex("a"))}, "constraint cannot be combined"),
        ("a" * 400, {}, "the model's context is 192"),
    ],
)
def test_what_cannot_be_is_refused(
    writer: LM, text: object, more: dict[str, object], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        writer.repair(text, **more)
