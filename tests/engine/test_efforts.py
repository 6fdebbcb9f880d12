"""Presets build, leave the reference as it was, and give way to what a request sets."""

import pytest
from tests.engine.conftest import TINY

from canvaslm import LM
from canvaslm.diffusion.account import EndOfText, Everything
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import AnyOf, StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.engine.efforts import PRESETS, Plan, Preset
from canvaslm.engine.params import EFFORTS, Effort, Params
from canvaslm.engine.settings import Settings
from canvaslm.errors import ParameterError

PUBLISHED = Settings(eos_ids=frozenset({1}))
PROMPT = [5, 9, 20, 31, 40, 77, 120]


def test_every_effort_has_a_preset() -> None:
    assert set(PRESETS) == set(EFFORTS)


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_preset_builds_from_the_published_settings_and_others(effort: Effort) -> None:
    for settings in (PUBLISHED, Settings.read({"t_min": 0.0, "max_denoising_steps": 3}, TINY)):
        sampler = settings.sampler(Params(effort=effort))
        assert 1 <= sampler.max_steps <= settings.max_steps


def test_the_reference_is_the_published_sampler_and_the_default() -> None:
    assert PUBLISHED.sampler(Params()) == Sampler()
    assert PUBLISHED.sampler(Params(effort="reference")) == Sampler()
    assert PUBLISHED.plan(Params()) == Plan()


@pytest.mark.parametrize(
    ("effort", "allowed", "steps", "over"),
    [
        ("fast", 48, 8, 4),
        ("fast", 7, 7, 4),
        ("fast", 3, 3, 3),
        ("balanced", 48, 48, 12),
        ("balanced", 7, 7, 7),
    ],
)
def test_a_preset_has_its_steps_or_the_checkpoints_if_those_are_fewer(
    effort: Effort, allowed: int, steps: int, over: int
) -> None:
    settings = Settings(eos_ids=frozenset({1}), max_steps=allowed)
    temperature = settings.sampler(Params(effort=effort)).temperature
    assert isinstance(temperature, LinearTemperature)
    assert (temperature.max_steps, temperature.over) == (steps, over)


def test_a_request_goes_before_a_preset() -> None:
    sampler = PUBLISHED.sampler(Params(effort="fast", max_steps=12))
    assert sampler.max_steps == 12


@pytest.mark.parametrize("own", [{"stability": 3}, {"confidence": 0.001}])
def test_a_request_that_says_when_a_canvas_is_done_is_not_cut_short(own: dict[str, float]) -> None:
    stop = PUBLISHED.sampler(Params(effort="fast", **own)).stop  # type: ignore[arg-type]
    assert isinstance(stop, StableAndConfident)
    assert isinstance(PUBLISHED.sampler(Params(effort="fast")).stop, AnyOf)


def test_without_end_ids_there_is_no_end_to_account_for() -> None:
    preset = PRESETS | {"fast": Preset(ending=1, sure=1)}
    with_end = Settings(eos_ids=frozenset({1}), presets=preset).sampler(Params(effort="fast"))
    without = Settings(eos_ids=frozenset(), presets=preset).sampler(Params(effort="fast"))
    assert with_end.account == EndOfText(end_ids=frozenset({1}))
    assert isinstance(without.account, Everything)
    assert isinstance(without.stop, AnyOf)


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"effort must be one of reference.*'slow'"):
        Params(effort="slow")  # type: ignore[arg-type]


def test_left_to_right_has_no_effort(lm: LM) -> None:
    with pytest.raises(ParameterError, match="effort would have no effect"):
        lm.generate(PROMPT, params=Params(effort="fast"), mode="ar")


@pytest.mark.parametrize("effort", ["balanced", "fast", "quality"])
def test_the_same_seed_gives_the_same_answer_alone_and_in_company(lm: LM, effort: Effort) -> None:
    prompts = [PROMPT, PROMPT[:3], PROMPT * 3]
    params = Params(max_tokens=40, seed=3, effort=effort)
    alone = [lm.generate(prompt, params=params).token_ids for prompt in prompts]
    together = lm.generate_many(prompts, params=params, batch=3)
    assert [result.token_ids for result in together] == alone
    assert all(len(ids) == 40 for ids in alone)
    assert lm.pool.in_use == 0
