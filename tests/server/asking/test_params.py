"""What the fields of a request make of parameters."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canvaslm import LM, Choice, Params, Regex
from canvaslm.errors import ContextLengthError, ParameterError, TemplateError
from canvaslm.server.asking.params import (
    USUAL_TOKENS,
    choose_length,
    count_characters,
    make_ask,
    naming,
    read_bias,
    read_constraint,
    read_sampling,
    read_thoughts,
)
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.common import Sampling, Thinking
from canvaslm.server.settings import Settings

SETTINGS = Settings()


def test_fields_mean_what_they_mean_to_params() -> None:
    body = Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["a"],
        presence_penalty=-1,
        logit_bias={"42": -100},
        seed=7,
        effort="fast",
        bad_words=["x", [1, 2]],
        max_steps=9,
    )
    params = Params(**read_sampling(body))
    assert params == Params(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["a"],
        presence_penalty=-1,
        logit_bias={42: -100},
        seed=7,
        effort="fast",
        bad_words=["x", [1, 2]],
        max_steps=9,
    )


def test_a_whole_top_p_filters_nothing_and_a_seed_is_drawn() -> None:
    first, second = (Params(**read_sampling(Sampling(top_p=1))) for _ in range(2))
    assert first.top_p is None
    assert first.seed is not None
    assert first.seed != second.seed


@pytest.mark.parametrize("token", ["a", "", "-1", "1.5", "9" * 5000, "٣"])
def test_a_bias_is_on_token_ids(token: str) -> None:
    with pytest.raises(ApiError, match="no token id") as caught:
        read_bias({token: 1})
    assert caught.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("given", "on", "budget", "effort"),
    [
        ({}, False, None, None),
        ({"reasoning_effort": "none"}, False, None, None),
        ({"reasoning_effort": "minimal"}, False, None, None),
        ({"reasoning_effort": "instant"}, False, None, "fast"),
        ({"reasoning_effort": "low"}, True, 256, None),
        ({"reasoning_effort": "medium"}, True, 1024, None),
        ({"reasoning_effort": "high"}, True, None, None),
        ({"thinking": True}, True, None, None),
        ({"thinking": True, "thinking_budget": 5}, True, 5, None),
        ({"reasoning_effort": "low", "thinking_budget": 5}, True, 5, None),
    ],
)
def test_how_much_is_thought(
    given: dict[str, Any], on: bool, budget: int | None, effort: str | None
) -> None:
    thoughts = read_thoughts(Thinking(**given))
    assert (thoughts.on, thoughts.budget, thoughts.effort) == (on, budget, effort)


@pytest.mark.parametrize(
    ("given", "effort", "param"),
    [
        ({"thinking_budget": 5}, None, "thinking_budget"),
        ({"thinking": False, "thinking_budget": 5}, None, "thinking_budget"),
        ({"thinking": False, "reasoning_effort": "high"}, None, "thinking"),
        ({"thinking": True, "reasoning_effort": "none"}, None, "thinking"),
        ({"reasoning_effort": "instant"}, "quality", "effort"),
    ],
)
def test_thinking_does_not_contradict_itself(
    given: dict[str, Any], effort: str | None, param: str
) -> None:
    with pytest.raises(ApiError) as caught:
        read_thoughts(Thinking(**given), effort=effort)
    assert caught.value.param == param


def test_one_constraint_at_a_time() -> None:
    assert read_constraint(Sampling(regex="a+"), None, SETTINGS) == Regex("a+")
    assert read_constraint(Sampling(), Choice(["a"]), SETTINGS, rival="x") == Choice(["a"])
    assert read_constraint(Sampling(choice=["a"]), None, SETTINGS) == Choice(["a"])
    assert read_constraint(Sampling(), None, SETTINGS) is None
    with pytest.raises(ApiError, match="exclude each other"):
        read_constraint(Sampling(regex="a", choice=["a"]), None, SETTINGS)
    with pytest.raises(ApiError, match="exclude each other"):
        read_constraint(Sampling(regex="a"), Choice(["a"]), SETTINGS, rival="response_format")


def test_a_constraint_is_no_longer_than_the_server_says() -> None:
    small = Settings(schema=10)
    read_constraint(Sampling(regex="a" * 10), None, small)
    with pytest.raises(ApiError) as caught:
        read_constraint(Sampling(choice=["aaaaaa", "bbbbbb"]), None, small)
    assert (caught.value.status, caught.value.param) == (413, "choice")


def test_an_ask_is_made_of_tokens(lm: LM) -> None:
    fields = {"seed": 3, "constraint": Regex("[ab]{3}")}
    ask = make_ask("hello", fields, lm=lm, mode="diffusion", length=None)
    assert all(isinstance(id, int) for id in ask.prompt)
    assert ask.params.max_tokens == USUAL_TOKENS
    assert [ask.again(k).seed for k in range(3)] == [3, 4, 5]
    result = lm.generate(ask.prompt, params=ask.params)
    direct = lm.generate("hello", params=Params(**fields, max_tokens=USUAL_TOKENS))
    assert result.text == direct.text


def test_the_usual_length_fits_the_context(lm: LM) -> None:
    most, canvas = lm.config.max_positions, lm.config.canvas_length
    assert choose_length(None, prompt=10, mode="diffusion", lm=lm) == USUAL_TOKENS
    assert choose_length(None, prompt=most - canvas, mode="diffusion", lm=lm) == canvas
    assert choose_length(None, prompt=most - 3, mode="ar", lm=lm) == 3
    assert choose_length(77, prompt=most, mode="diffusion", lm=lm) == 77
    with pytest.raises(ContextLengthError):
        make_ask([1] * (most - 3), {}, lm=lm, mode="diffusion", length=None)


def test_errors_name_the_field() -> None:
    with pytest.raises(ApiError) as caught, naming(("top_k", "model")):
        raise ParameterError("the model has no top_k like that")
    assert caught.value.param == "top_k"
    with pytest.raises(ApiError) as caught, naming(("messages",)):
        raise TemplateError("no")
    assert caught.value.param == "messages"
    with pytest.raises(ApiError) as caught, naming(("prompt", "seed")):
        raise ContextLengthError("too long")
    assert (caught.value.param, caught.value.code) == ("prompt", "context_length_exceeded")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from(sorted(Sampling.model_fields)), value=JSON)
def test_whatever_a_field_holds_is_taken_or_refused(field: str, value: Any) -> None:
    try:
        body = Sampling(**{field: value})
        Params(**{**read_sampling(body), "logit_bias": None})
    except (ValidationError, ApiError, ParameterError):
        return
    taken = getattr(body, field)
    assert taken == value
    assert type(taken) is type(value) or (isinstance(taken, float) and not isinstance(value, bool))


@pytest.mark.parametrize(
    "value", ["a\0", "\ud800", math.nan, math.inf, 2**63, [["x", {"\ud800": 1}]]]
)
def test_what_no_endpoint_can_use_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        Sampling(stop=[value])
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith("stop")
    caught.value.response()  # can be written


def test_depth_is_limited() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ApiError, match="deeper"):
        Sampling(stop=deep)


def test_characters_are_counted_everywhere() -> None:
    assert count_characters([{"ab": "cde", "f": [1, None, "g"]}, "hi"]) == 9
