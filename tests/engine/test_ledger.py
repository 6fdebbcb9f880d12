"""Log-probabilities come with the answer, of the kind that was asked for."""

import math
from typing import Any

import pytest
import torch

from canvaslm import LM, Params
from canvaslm.engine.result import Result
from canvaslm.engine.scoring.token import TokenLogprob
from canvaslm.errors import ParameterError

PROMPT = [5, 9, 20, 31, 40, 77, 120]
MODES = pytest.mark.parametrize("mode", ["diffusion", "ar"])


def ask(lm: LM, mode: str = "diffusion", **given: Any) -> Result:
    params = Params(**{"max_tokens": 40, "seed": 3, "logprobs": True} | given)
    return lm.generate(PROMPT, params=params, mode=mode)


def values(entries: tuple[TokenLogprob, ...] | None) -> torch.Tensor:
    assert entries is not None
    return torch.tensor([entry.logprob for entry in entries])


@MODES
def test_causal_ones_are_those_of_score(lm: LM, mode: str) -> None:
    result = ask(lm, mode, top_logprobs=3)
    scored = lm.score(PROMPT, continuation=list(result.token_ids), top=3)
    assert result.logprobs_kind == "causal"
    torch.testing.assert_close(values(result.logprobs), values(scored.tokens), rtol=1e-4, atol=1e-3)
    for entry, other in zip(result.logprobs or (), scored.tokens, strict=True):
        assert entry.token_id == other.token_id
        assert [id for id, _ in entry.top] == [id for id, _ in other.top]


@MODES
def test_they_are_the_models_own_whatever_steers_it(lm: LM, mode: str) -> None:
    result = ask(lm, mode, logit_bias={33: 8.0}, frequency_penalty=0.5)
    scored = lm.score(PROMPT, continuation=list(result.token_ids))
    torch.testing.assert_close(values(result.logprobs), values(scored.tokens), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["causal", "denoiser", "path", "loo"])
def test_asking_changes_no_token(lm: LM, kind: str) -> None:
    result = ask(lm, logprobs_kind=kind, top_logprobs=2)
    assert result.token_ids == ask(lm, logprobs=False).token_ids
    assert result.logprobs_kind == kind
    assert result.logprobs is not None
    assert [entry.token_id for entry in result.logprobs] == list(result.token_ids)
    for entry in result.logprobs:
        assert entry.logprob <= 1e-6
        assert len(entry.top) == 2
        assert entry.top[0][1] >= entry.logprob - 1e-6


def test_the_denoiser_is_the_surest_of_what_it_commits(lm: LM) -> None:
    for entry in ask(lm, logprobs_kind="denoiser", top_logprobs=1).logprobs or ():
        assert math.isclose(entry.top[0][1], entry.logprob)


def test_a_cut_answer_has_as_many_as_tokens(talker: LM) -> None:
    text = ask(talker).text
    for kind in ("causal", "denoiser"):
        result = ask(talker, stop=text[20:22], logprobs_kind=kind)
        assert len(result.logprobs or ()) == len(result.token_ids)
        assert result.stop == text[20:22]


@MODES
def test_the_prompt_has_them_too(lm: LM, mode: str) -> None:
    for given in ({"logprobs": False}, {"n": 2}):
        result = ask(lm, mode, prompt_logprobs=True, top_logprobs=1, max_tokens=16, **given)
        for choice in result.choices:
            assert choice.prompt_logprobs is not None
            first, *others = choice.prompt_logprobs
            assert first is None
            torch.testing.assert_close(
                values(tuple(entry for entry in others if entry is not None)),
                values(lm.score(PROMPT).tokens),
                rtol=1e-4,
                atol=1e-3,
            )


def test_they_are_there_only_when_asked_for(lm: LM) -> None:
    result = ask(lm, logprobs=False)
    assert (result.logprobs, result.logprobs_kind, result.prompt_logprobs) == (None, None, None)


def test_an_empty_prompt_predicts_nothing(lm: LM) -> None:
    with pytest.raises(ParameterError, match="causal logprobs need a prompt"):
        lm.generate([], params=Params(logprobs=True))
    params = Params(logprobs=True, logprobs_kind="path", prompt_logprobs=True, max_tokens=5)
    result = lm.generate([], params=params)
    assert (len(result.logprobs or ()), result.prompt_logprobs) == (5, ())
