"""A request's parameters are checked when they are made, and none is without effect."""

from dataclasses import fields
from typing import Any

import pytest

from canvaslm.control.language.constraints import Regex
from canvaslm.engine.params import DIFFUSION_ONLY, LogprobKind, Params
from canvaslm.errors import ParameterError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_tokens": -5}, "max_tokens must be at least 1, got -5"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"max_tokens": 1.5}, "max_tokens must be an integer, got 1.5 of type float"),
        ({"max_tokens": True}, "max_tokens must be an integer"),
        ({"max_tokens": None}, "max_tokens must be an integer"),
        ({"seed": "7"}, "seed must be an integer, got '7' of type str"),
        ({"seed": 7.0}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"seed": -1}, r"seed must be in \[0, 9223372036854775808\), got -1"),
        ({"seed": 2**63}, r"seed must be in \[0"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"stability": -1}, "stability must be at least 0"),
        ({"stability": 1.0}, "stability must be an integer"),
        ({"entropy_bound": 0}, "entropy_bound must be positive"),
        ({"confidence": float("nan")}, "confidence must be a finite number"),
        ({"t_min": -0.1}, "t_min must be at least 0"),
        ({"t_max": float("inf")}, "t_max must be a finite number"),
        ({"temperature": "hot"}, "temperature must be a finite number"),
        ({"temperature": False}, "temperature must be a finite number"),
        ({"temperature": -1}, "temperature must be at least 0"),
        ({"temperature": 1e-9}, r"temperature must be 0 or in \[0.01, 100\]"),
        ({"n": 0}, "n must be at least 1"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_k": 1.5}, "top_k must be an integer"),
        ({"top_p": 0}, "top_p must be positive"),
        ({"top_p": 1.1}, r"top_p must be a number in \[0, 1\]"),
        ({"min_p": -0.1}, r"min_p must be a number in \[0, 1\]"),
        ({"min_p": float("nan")}, "min_p must be a number"),
        ({"repetition_penalty": 0}, "repetition_penalty must be positive"),
        ({"presence_penalty": 3}, r"presence_penalty must be a number in \[-2, 2\]"),
        ({"frequency_penalty": True}, "frequency_penalty must be a number"),
        ({"stop": ""}, r"stop\[0\] must be a text of at least 1 character, got ''"),
        ({"stop": ["a", ""]}, r"stop\[1\] must be a text"),
        ({"stop": ["a", 3]}, r"stop\[1\] must be a text"),
        ({"stop": 3}, "stop must be a text or a list of texts"),
        ({"stop": ["a"] * 17}, "stop may hold at most 16 texts, got 17"),
        ({"stop": "\ud800"}, "lone surrogate"),
        ({"bad_words": "word"}, "bad_words must be a list"),
        ({"bad_words": [""]}, r"bad_words\[0\] must be a text of at least 1 character"),
        ({"bad_words": [[]]}, r"bad_words\[0\] must be a text or a list of one or more"),
        ({"bad_words": [[-1]]}, r"a token of bad_words\[0\] must be at least 0"),
        ({"bad_words": [b"x"]}, r"bad_words\[0\] must be a text or a list"),
        ({"bad_words": ["x"] * 1025}, "at most 1024 words"),
        ({"logit_bias": [1]}, "logit_bias must map tokens to numbers"),
        ({"logit_bias": {1: 101}}, r"logit_bias\[1\] must be a number in \[-100, 100\]"),
        ({"logit_bias": {-1: 1}}, "a token of logit_bias must be at least 0"),
        ({"logit_bias": {True: 1}}, "a token of logit_bias must be an integer"),
        ({"logit_bias": {"": 1}}, "a token of logit_bias must be a text"),
        ({"logprobs": 1}, "logprobs must be True or False"),
        ({"top_logprobs": 2}, "top_logprobs would have no effect without logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, r"top_logprobs must be in \[0, 21\)"),
        ({"logprobs_kind": "path"}, "logprobs_kind would have no effect without logprobs"),
        ({"logprobs_kind": "elbo", "logprobs": True}, "logprobs_kind must be one of causal"),
        ({"constraint": "[a-z]"}, "constraint must be a Regex"),
        ({"constraint": Regex("a"), "thinking": True}, "thinking would have no effect with a"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Params(**wrong)


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="top_q"):
        Params(top_q=0.9)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", DIFFUSION_ONLY)
def test_diffusion_parameters_are_refused_left_to_right(name: str) -> None:
    params = Params(**{name: "fast" if name == "effort" else name.endswith("_settled") or 1})
    params.check_mode("diffusion")
    with pytest.raises(ParameterError, match=f"{name} would have no effect with mode='ar'"):
        params.check_mode("ar")


@pytest.mark.parametrize("name", ["top_k", "top_p", "min_p"])
def test_filters_need_something_to_be_drawn(name: str) -> None:
    Params(**{name: 1}).check_mode("diffusion")
    Params(**{name: 1}, temperature=1).check_mode("ar")
    with pytest.raises(ParameterError, match=f"{name} would have no effect .* set temperature"):
        Params(**{name: 1}).check_mode("ar")


@pytest.mark.parametrize("kind", ["denoiser", "path", "loo"])
def test_log_probabilities_of_canvases_are_refused_left_to_right(kind: LogprobKind) -> None:
    params = Params(logprobs=True, logprobs_kind=kind)
    params.check_mode("diffusion")
    with pytest.raises(ParameterError, match=f"logprobs_kind='{kind}' is about canvases"):
        params.check_mode("ar")


def test_every_parameter_belongs_to_a_mode() -> None:
    names = {field.name for field in fields(Params)}
    assert names >= set(DIFFUSION_ONLY)
    Params(temperature=1, top_k=2, stop="x", n=2, logprobs=True, seed=1).check_mode("ar")


def test_one_stop_string_is_a_list_of_one() -> None:
    assert Params(stop="ab").stops == ("ab",)
    assert Params(stop=["ab", "c"]).stops == ("ab", "c")
    assert Params().stops == ()


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ParameterError, match="mode must be one of diffusion, ar, got 'beam'"):
        Params().check_mode("beam")
