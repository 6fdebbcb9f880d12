"""An answer is cut after the first closing token, and at the length asked for."""

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.engine.job import Job
from canvaslm.engine.params import Params

EOS = frozenset({7, 9})


def job(max_tokens: int) -> Job:
    return Job(prompt=(1, 2), params=Params(max_tokens=max_tokens), seed=3, eos_ids=EOS)


def test_the_closing_token_is_the_last() -> None:
    one = job(100)
    assert one.take([1, 2, 3]) == [1, 2, 3]
    assert one.finish_reason is None
    assert one.take([4, 9, 7, 5]) == [4, 9]
    assert (one.ids, one.finish_reason) == ([1, 2, 3, 4, 9], "stop")


def test_the_length_cuts_inside_a_canvas() -> None:
    one = job(4)
    assert one.take([1, 2, 3]) == [1, 2, 3]
    assert one.take([4, 5, 6]) == [4]
    assert one.finish_reason == "length"


def test_a_closing_token_in_the_last_place_is_a_stop() -> None:
    one = job(2)
    one.take([1, 7, 3])
    assert (one.ids, one.finish_reason) == ([1, 7], "stop")


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6)), st.integers(1, 20))
def test_what_is_taken_is_what_was_said(pieces: list[list[int]], max_tokens: int) -> None:
    one, said = job(max_tokens), []
    for piece in pieces:
        if one.finish_reason is None:
            said += one.take(piece)
    assert one.ids == said
    assert len(said) <= max_tokens
    assert not EOS & set(said[:-1])
    if said:
        assert (one.finish_reason == "stop") == (said[-1] in EOS)


def test_the_result_counts_what_it_took() -> None:
    one = job(3)
    one.take([1, 2, 3])
    one.steps, one.canvases = 2, 1
    result = one.result(seconds=0.5)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (2, 3)
    assert result.usage.tokens_per_forward == 1.5
    assert (result.seed, result.finish_reason, result.token_ids) == (3, "length", (1, 2, 3))
