"""Likelihood of texts: parts that add up, and errors that mean something."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm import LM
from canvaslm.errors import ParameterError
from canvaslm.eval.likelihood import Likelihood, Part, judge, parts_of, per_byte

TEXT = "a square and a circle, é and <turn|> " * 9


@pytest.mark.parametrize("most", [None, 1, 10, 63])
def test_parts_are_the_text(babble: LM, most: int | None) -> None:
    parts = list(parts_of(TEXT, babble.tokenizer, babble.config, most=most))
    assert babble.tokenizer.decode([id for _, part in parts for id in part]) == TEXT
    assert {before for before, _ in parts} == {(babble.tokenizer.bos_id,)}
    assert all(len(part) <= (most or 63) for _, part in parts)


@pytest.mark.parametrize("most", [0, 176])
def test_a_part_must_fit_with_its_closing_token(babble: LM, most: int) -> None:
    with pytest.raises(ParameterError, match="between 1 and 175"):
        list(parts_of(TEXT, babble.tokenizer, babble.config, most=most))
    with pytest.raises(ParameterError, match="nothing to judge"):
        list(parts_of("", babble.tokenizer, babble.config))


def test_one_part_is_what_score_and_elbo_say(babble: LM) -> None:
    text = "a circle"
    found = Likelihood.of(judge(babble, text, samples=4, seed=2))
    scores = babble.score(text)
    assert found.causal == pytest.approx(scores.bits_per_byte)
    assert found.perplexity == pytest.approx(scores.perplexity)
    assert (found.tokens, found.bytes) == (len(scores.tokens), len(text))
    assert found.causal_error is None
    ids = babble.tokenizer.encode(text)
    bound = babble.elbo([babble.tokenizer.bos_id or 0], ids, samples=4, seed=2)
    assert found.bound == pytest.approx(-bound.mean / math.log(2) / len(text))
    assert found.bound_error == found.sampling_error is not None


def test_many_parts_have_errors_and_the_same_seed_gives_the_same(babble: LM) -> None:
    told: list[int] = []
    parts = judge(babble, TEXT, samples=1, most=40, progress=told.append)
    assert parts == judge(babble, TEXT, samples=1, most=40)
    assert told == [part.tokens for part in parts]
    found = Likelihood.of(parts)
    assert found.causal_error is not None
    assert found.bound_error is not None
    assert found.sampling_error is None  # one sample tells nothing of it
    assert sum(part.bytes for part in parts) == found.bytes == len(TEXT.encode())
    without = Likelihood.of(judge(babble, TEXT, samples=None, most=40))
    assert (without.causal, without.bound, without.bound_error) == (found.causal, None, None)


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(1, 9)), min_size=2, max_size=9))
def test_a_rate_is_that_of_all_bytes(pairs: list[tuple[float, int]]) -> None:
    nats, sizes = [n for n, _ in pairs], [float(s) for _, s in pairs]
    rate, error = per_byte(nats, sizes)
    assert rate == pytest.approx(sum(nats) / math.log(2) / sum(sizes), abs=1e-9)
    assert error is not None
    assert error >= 0


def test_the_error_is_how_far_repeated_measurements_lie_apart() -> None:
    rng = random.Random(1)

    def measure() -> tuple[float, float | None]:
        sizes = [float(rng.randint(50, 150)) for _ in range(30)]
        return per_byte([size + rng.gauss(0, 20) for size in sizes], sizes)

    found = [measure() for _ in range(300)]
    spread = statistics.stdev(rate for rate, _ in found)
    said = statistics.fmean(error or 0 for _, error in found)
    assert said == pytest.approx(spread, rel=0.15)


def test_no_likelihood_at_all_is_infinite() -> None:
    found = Likelihood.of([Part(tokens=1, bytes=1, causal=1000.0)])
    assert found.perplexity == math.inf
