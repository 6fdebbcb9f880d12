"""The checkpoint's settings rule where a request says nothing."""

from typing import Any

import pytest
from tests.engine.conftest import TINY

from canvaslm.engine.params import Params
from canvaslm.engine.settings import Settings
from canvaslm.errors import ConfigError, ParameterError

RELEASED = {
    "max_new_tokens": 256,
    "max_denoising_steps": 48,
    "t_max": 0.8,
    "t_min": 0.4,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    "stability_threshold": 1,
    "confidence_threshold": 0.005,
    "eos_token_id": [1, 106, 50],
    "pad_token_id": 0,
}


def test_the_released_settings_are_the_defaults() -> None:
    settings = Settings.read(RELEASED, TINY)
    assert settings == Settings(eos_ids=frozenset({1, 106, 50}))
    assert settings.sampler(Params()) == Settings.read({}, TINY).sampler(Params())


def test_a_request_overrides_what_it_names() -> None:
    settings = Settings.read({"t_max": 0.7, "max_denoising_steps": 9}, TINY)
    sampler = settings.sampler(Params(max_steps=4, stability=0))
    assert (sampler.max_steps, sampler.temperature.t_max) == (4, 0.7)
    assert (sampler.stop.stability, sampler.accept.bound) == (0, 0.1)


def test_eos_ids_may_be_one_or_many_or_the_networks() -> None:
    assert Settings.read({"eos_token_id": 7}, TINY).eos_ids == {7}
    assert Settings.read({"eos_token_id": None}, TINY).eos_ids == {1}


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"max_denoising_steps": 0}, "max_steps must be at least 1"),
        ({"t_min": 0.9}, "t_min=0.9 and t_max=0.8"),
        ({"confidence_threshold": "low"}, "confidence must be a finite number"),
        ({"eos_token_id": [1, "<eos>"]}, "eos_token_id must be an integer"),
        ({"sampler_config": {"_cls_name": "Other"}}, "EntropyBoundSamplerConfig"),
        ({"sampler_config": 3}, "EntropyBoundSamplerConfig"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(generation: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"generation_config.json: .*{message}"):
        Settings.read(generation, TINY)


def test_a_request_may_not_contradict_the_checkpoint() -> None:
    with pytest.raises(ParameterError, match=r"t_min=0.9 and t_max=0.8"):
        Settings.read(RELEASED, TINY).sampler(Params(t_min=0.9))
