"""Canvases with given text: pins are kept, and judging is what `LM.score` says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvaslm import LM, Params
from canvaslm.engine.rewriting.bias import fit_bias
from canvaslm.engine.rewriting.desk import Order, ask, question
from canvaslm.engine.rewriting.page import Ending, Page, length_for
from canvaslm.engine.rewriting.write import first_confidence, judge, write


@settings(max_examples=12)
@given(given_=st.dictionaries(st.integers(0, 8), st.integers(20, 299)), seed=st.integers(0, 99))
def test_pinned_tokens_are_returned_whatever_the_model_says(
    writer: LM, given_: dict[int, int], seed: int
) -> None:
    desk, ending = writer.rewriter, Ending.of(writer.rewriter)
    page = Page(size=9, length=16, after=[40, 41, ending.close], ending=ending, given=given_)
    opening = ask(desk, "a", "b")
    try:
        (made,) = write(desk, [opening], [page], order=Order.of(desk, Params(seed=seed)))
    finally:
        opening.prefix.free()
    assert {place: made.ids[place] for place in given_} == given_
    assert made.ids[9:] == [40, 41, ending.close, *[ending.fill] * 4]
    assert not writer.tokenizer.special_ids & {made.ids[n] for n in range(9) if n not in given_}


def test_the_judge_is_the_causal_score(writer: LM) -> None:
    desk, rows = writer.rewriter, [[30, 40, 50], [60], [70, 80, 90, 100, 110]]
    opening = ask(desk, "a square", "circle")
    try:
        judged = judge(desk, opening, rows)
        again = judge(desk, opening, rows[1:2])
    finally:
        opening.prefix.free()
    for row, logprobs in zip(rows, judged, strict=True):
        scores = writer.score(question("a square", "circle"), continuation=row)
        assert logprobs == pytest.approx([t.logprob for t in scores.tokens], abs=1e-3)
    assert again[0] == pytest.approx(judged[1], abs=1e-3)
    assert writer.pool.in_use == 0


def test_first_confidence_is_a_mean_of_probabilities(writer: LM) -> None:
    desk, ending = writer.rewriter, Ending.of(writer.rewriter)
    pages = [Page(size=n, length=16, after=[ending.close], ending=ending) for n in (1, 4, 9)]
    opening = ask(desk, "a", "b")
    try:
        order = Order.of(desk, Params(seed=1))
        together = first_confidence(desk, opening, pages, order=order)
        alone = [first_confidence(desk, opening, [page], order=order)[0] for page in pages]
    finally:
        opening.prefix.free()
    assert together == pytest.approx(alone, abs=1e-3)
    assert all(1 / 300 <= value <= 1 for value in together)


def test_the_bias_of_a_model_is_fitted_once_and_always_the_same(writer: LM) -> None:
    bias = writer.rewriter.length_bias
    assert writer.rewriter.length_bias is bias
    assert fit_bias(writer.rewriter) == bias
    assert all(0 < bias.at(length) <= 1 for length in (1, 8))
    assert writer.pool.in_use == 0


def test_a_model_that_has_warmed_up_has_nothing_left_to_fit(
    writer: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.warm_up()
    monkeypatch.setattr(writer.network, "denoise", None)
    assert writer.rewriter.length_bias
    assert writer.decider.together
    assert writer.pool.in_use == 0


def test_a_model_that_fills_no_gaps_has_nothing_to_warm_up(lm: LM) -> None:
    lm.warm_up()
    assert lm.pool.in_use == 0


def test_canvases_are_as_long_as_they_need_to_be() -> None:
    assert [length_for(n, longest=256) for n in (1, 31, 32, 255, 256)] == [32, 32, 64, 256, 256]
    assert length_for(10, longest=16) == 16


def test_the_marker_of_the_document_itself_is_shown_otherwise() -> None:
    assert question("a<gap>", "<gap>").count("<gap>") == 1
    assert question("a<ga", "p>") == "Fill the gap:\na<ga<gap>p>"
