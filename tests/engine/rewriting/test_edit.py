"""Edits: all but the span comes back, and how much of it may change is as asked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvaslm import LM, Params
from canvaslm.control.language.constraints import Regex
from canvaslm.engine.rewriting.edit import noise_some
from canvaslm.errors import ParameterError

TEXT = "a square and ä circle"


@settings(max_examples=12)
@given(places=st.sets(st.integers(0, len(TEXT)), min_size=2, max_size=2), seed=st.integers(0, 99))
def test_all_outside_of_the_span_comes_back(writer: LM, places: set[int], seed: int) -> None:
    start, end = sorted(places)
    if len(writer.tokenizer.encode(TEXT[start:end])) > 15:
        return
    made = writer.edit(TEXT, (start, end), params=Params(seed=seed))
    assert made.document == TEXT[:start] + made.text + TEXT[end:]
    assert made.before == TEXT[start:end]
    assert writer.pool.in_use == 0


def test_the_same_seed_gives_the_same_edit(writer: LM) -> None:
    first = writer.edit(TEXT, (2, 8), params=Params(seed=5))
    assert writer.edit(TEXT, (2, 8), params=Params(seed=5)).document == first.document


@given(count=st.integers(1, 40), strength=st.floats(0.001, 1), seed=st.integers(0, 99))
def test_a_share_of_the_tokens_is_noised(count: int, strength: float, seed: int) -> None:
    ids = list(range(100, 100 + count))
    draft = noise_some(ids, strength=strength, seed=seed)
    assert draft.count(-1) == max(round(strength * count), 1)
    assert all(id in (-1, ids[place]) for place, id in enumerate(draft))
    assert noise_some(ids, strength=strength, seed=seed) == draft


def test_an_instruction_may_change_the_length(writer: LM) -> None:
    made = writer.edit("a b c", (2, 3), instruction="Say more.", params=Params(seed=1))
    assert made.document == "a " + made.text + " c"


def test_a_span_can_be_constrained(writer: LM) -> None:
    params = Params(seed=1, constraint=Regex("[0-9]+"))
    assert writer.edit("x = 12 + y", (4, 6), params=params).text.isdigit()


def test_a_span_longer_than_a_canvas_is_refused(writer: LM) -> None:
    with pytest.raises(ParameterError, match="the span has 20 tokens, and a canvas of this model"):
        writer.edit("0123456789" * 3, (5, 25))


@pytest.mark.parametrize(
    ("span", "more", "reason"),
    [
        ((3, 3), {}, "is empty"),
        ((4, 2), {}, "is reversed"),
        ((-1, 2), {}, "at least 0"),
        ((0, 99), {}, "ends outside the text, which has 21 characters"),
        ((0, 2.5), {}, "must be an integer"),
        ((1,), {}, "must be .start, end."),
        (None, {}, "must be .start, end."),
        ((0, 2), {"strength": 0}, "strength must be above 0"),
        ((0, 2), {"strength": 1.5}, "strength must be above 0"),
        ((0, 2), {"strength": "much"}, "strength must be above 0"),
        ((0, 2), {"params": Params(n=2)}, "n cannot be served"),
    ],
)
def test_what_cannot_be_is_refused(
    writer: LM, span: object, more: dict[str, object], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        writer.edit(TEXT, span, **more)
