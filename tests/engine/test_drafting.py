"""Canvases grow with the answer, are drafted again after a loop, and mended where doubted."""

import pytest
from tests.engine.conftest import TINY, sharpen

from canvaslm import LM, Draft, Params
from canvaslm.engine.efforts import PRESETS, Plan, Preset
from canvaslm.engine.mending import Mend
from canvaslm.engine.settings import Settings
from canvaslm.errors import ParameterError
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer

PROMPT = [5, 9, 20, 31, 40, 77, 120]
SEEDS = range(12)
ENDS = frozenset(range(80))


def planned(plan: Plan, *, ends: frozenset[int] = frozenset()) -> LM:
    """The published rules with this plan, under the name of an effort."""
    model = Transformer(TINY).eval()
    initialise(model, seed=1)
    presets = PRESETS | {"fast": Preset(plan=plan)}
    return LM(sharpen(model), settings=Settings(eos_ids=ends, max_steps=6, presets=presets))


def both(lm: LM, **values: object) -> tuple[object, object]:
    """With the plan, and without."""
    params = [Params(effort=effort, **values) for effort in ("fast", None)]  # type: ignore[arg-type]
    return tuple(lm.generate(PROMPT, params=one) for one in params)  # type: ignore[return-value]


def test_an_answer_that_shows_no_end_is_drafted_on_a_whole_canvas() -> None:
    lm = planned(Plan(first_share=0.5), ends=ENDS)
    widened = 0
    for seed in SEEDS:
        drafts = list(lm.stream(PROMPT, params=Params(effort="fast", max_tokens=16, seed=seed)))
        lengths = [len(draft.token_ids) for draft in drafts if isinstance(draft, Draft)]
        steps = [draft.step for draft in drafts if isinstance(draft, Draft)]
        assert steps == list(range(1, len(steps) + 1))
        assert lengths[0] == 8
        result, reference = both(lm, max_tokens=16, seed=seed)
        if 16 in lengths:
            widened += 1
            assert result.token_ids == reference.token_ids
            assert result.usage.steps == reference.usage.steps + lengths.count(8)
        else:
            assert result.finish_reason == "stop"
            assert len(result.token_ids) <= 8
    assert 0 < widened < len(SEEDS)


def test_a_short_answer_needs_no_more_than_its_own_length() -> None:
    lm = planned(Plan(first_share=1.0))
    drafts = list(lm.stream(PROMPT, params=Params(effort="fast", max_tokens=21, seed=1)))
    lengths = [(d.canvas, len(d.token_ids)) for d in drafts if isinstance(d, Draft)]
    assert set(lengths) == {(0, 16), (1, 6)}
    assert len(drafts[-1].result.token_ids) == 21


def test_causal_logprobs_fit_answers_of_different_lengths() -> None:
    lm = planned(Plan(first_share=0.5), ends=ENDS)
    params = Params(effort="fast", max_tokens=16, seed=1, logprobs=True)
    for result in lm.generate_many([PROMPT, PROMPT[:2], PROMPT * 2], params=params, batch=3):
        assert [entry.token_id for entry in result.logprobs] == list(result.token_ids)


def test_the_reference_only_reports_a_loop(lm: LM) -> None:
    result = lm.generate(PROMPT, params=Params(max_tokens=112, seed=1, logit_bias={7: 100}))
    assert set(result.token_ids) == {7}
    assert result.usage.redrafts == 0
    assert result.notes == (
        "the answer repeats itself: 1 tokens from token 0 on stand 112 times in a row",
    )
    assert lm.generate(PROMPT, params=Params(max_tokens=112, seed=1)).notes == ()


def test_a_loop_that_stays_is_drafted_again_so_often_and_reported() -> None:
    lm = planned(Plan(redrafts=2))
    result, reference = both(lm, max_tokens=112, seed=1, logit_bias={7: 100})
    assert result.token_ids == reference.token_ids
    assert result.usage.redrafts == 6  # canvases 4, 5 and 6; before, it is too short to tell
    assert result.notes == reference.notes != ()


def test_a_loop_is_left_by_another_draft() -> None:
    lm = planned(Plan(redrafts=2))
    result, reference = both(lm, max_tokens=112, seed=1, logit_bias={7: 11})
    assert reference.notes != ()
    assert result.notes == ()
    assert result.usage.redrafts >= 1
    again, _ = both(lm, max_tokens=112, seed=1, logit_bias={7: 11})
    assert again.token_ids == result.token_ids


def causal(lm: LM, ids: tuple[int, ...]) -> float:
    return lm.score(PROMPT, continuation=list(ids)).sum


@pytest.mark.parametrize("doubt", [None, 0.5])
def test_mending_keeps_what_the_causal_mode_finds_likeliest(doubt: float | None) -> None:
    lm = planned(Plan(mend=Mend(rounds=2, doubt=doubt)))
    better = 0
    for seed in SEEDS:
        mended, first = both(lm, max_tokens=16, seed=seed)
        assert causal(lm, mended.token_ids) >= causal(lm, first.token_ids) - 1e-4
        assert mended.usage.steps > first.usage.steps
        better += mended.token_ids != first.token_ids
    assert better > 0
    assert lm.pool.in_use == 0


def test_what_is_trusted_is_not_mended() -> None:
    lm = planned(Plan(mend=Mend(trust=1e-30)))
    mended, first = both(lm, max_tokens=32, seed=1)
    assert mended.token_ids == first.token_ids
    assert mended.usage.steps == first.usage.steps


def test_log_probabilities_are_of_the_draft_that_was_kept() -> None:
    lm = planned(Plan(mend=Mend(rounds=1)))
    kept = 0
    for seed in SEEDS:
        mended, first = both(lm, max_tokens=16, seed=seed, logprobs=True, logprobs_kind="denoiser")
        assert [entry.token_id for entry in mended.logprobs] == list(mended.token_ids)
        if mended.token_ids == first.token_ids:
            kept += 1
            assert mended.logprobs == first.logprobs
    assert 0 < kept < len(SEEDS)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"doubt": 0.0}, {"doubt": 1.5}, {"trust": 0.0}])
def test_mending_checks_its_numbers(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Mend(**wrong)  # type: ignore[arg-type]
