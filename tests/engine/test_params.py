"""A request's parameters are checked when they are made, and none is without effect."""

from dataclasses import fields
from typing import Any

import pytest

from canvaslm.engine.params import DIFFUSION_ONLY, Params
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
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Params(**wrong)


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="top_p"):
        Params(top_p=0.9)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", DIFFUSION_ONLY)
def test_diffusion_parameters_are_refused_left_to_right(name: str) -> None:
    params = Params(**{name: 1})
    params.check_mode("diffusion")
    with pytest.raises(ParameterError, match=f"{name} would have no effect with mode='ar'"):
        params.check_mode("ar")


def test_temperature_is_refused_in_diffusion() -> None:
    params = Params(temperature=0.5)
    params.check_mode("ar")
    with pytest.raises(ParameterError, match="set t_min and t_max"):
        params.check_mode("diffusion")


def test_every_parameter_belongs_to_a_mode() -> None:
    shared = {"max_tokens", "seed", "thinking", "tools"}
    assert {field.name for field in fields(Params)} == shared | {"temperature", *DIFFUSION_ONLY}


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ParameterError, match="mode must be one of diffusion, ar, got 'beam'"):
        Params().check_mode("beam")
