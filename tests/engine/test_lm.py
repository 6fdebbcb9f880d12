"""A loaded model answers, streams, and lays its network open."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.conftest import TINY

from canvaslm import LM, Done, Draft, Params, Text, Thought, ToolCall
from canvaslm.engine.job import Job
from canvaslm.errors import (
    CanvasError,
    ContextLengthError,
    MissingTokenizerError,
    ParameterError,
)

PROMPT = [5, 9, 20, 31, 40, 77, 120]


def test_the_same_seed_gives_the_same_answer(lm: LM) -> None:
    first, again = (lm.generate(PROMPT, params=Params(max_tokens=40, seed=7)) for _ in range(2))
    assert first.token_ids == again.token_ids
    assert first.token_ids != lm.generate(PROMPT, params=Params(max_tokens=40, seed=8)).token_ids


def test_a_seed_that_was_drawn_is_told(lm: LM) -> None:
    drawn = lm.generate(PROMPT, params=Params(max_tokens=20))
    again = lm.generate(PROMPT, params=Params(max_tokens=20, seed=drawn.seed))
    assert again.token_ids == drawn.token_ids


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 299), min_size=1, max_size=30), min_size=1, max_size=3))
def test_company_changes_nothing(lm: LM, prompts: list[list[int]]) -> None:
    params = Params(max_tokens=24, seed=3, max_steps=3)
    together = lm.generate_many(prompts, params=params)
    for prompt, result in zip(prompts, together, strict=True):
        alone = lm.generate(prompt, params=params)
        assert (result.token_ids, result.seed) == (alone.token_ids, alone.seed)
    assert lm.pool.in_use == 0


def test_a_batch_gives_the_answers_one_by_one_where_rounding_does_not_decide(lm: LM) -> None:
    prompts = [PROMPT, PROMPT[:2], PROMPT * 4]
    params = Params(max_tokens=40, seed=1)
    batched = lm.generate_many(prompts, params=params, batch=2)
    assert [r.token_ids for r in batched] == [
        r.token_ids for r in lm.generate_many(prompts, params=params)
    ]


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_a_stream_ends_with_what_generate_gives(talker: LM, mode: str) -> None:
    params = Params(max_tokens=30, seed=4)
    *events, done = talker.stream("a circle", params=params, mode=mode)
    assert isinstance(done, Done)
    result = talker.generate("a circle", params=params, mode=mode)
    assert done.result.token_ids == result.token_ids
    assert "".join(e.delta for e in events if isinstance(e, Text)) == result.text
    assert sum(isinstance(e, Draft) for e in events) == (
        result.usage.steps if mode == "diffusion" else 0
    )


def test_thoughts_and_tool_calls_are_told_from_the_answer(
    talker: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "<|channel>thought\nhm<channel|>a <|tool_call>call:f{x:1}<tool_call|>circle"

    def speak(network: object, pool: object, job: Job) -> Iterator[list[int]]:
        for id in talker.tokenizer.encode(said):
            yield job.take([id])
        job.finish_reason = "stop"

    monkeypatch.setattr("canvaslm.engine.requests.left_to_right", speak)
    *events, done = talker.stream("a circle", params=Params(max_tokens=90), mode="ar")
    assert isinstance(done, Done)
    assert done.result.text == "a circle"
    assert done.result.thoughts == "hm"
    assert done.result.tool_calls == (ToolCall("f", {"x": 1}),)
    assert done.result.broken == ()
    assert "".join(e.delta for e in events if isinstance(e, Text)) == "a circle"
    assert "".join(e.text for e in events if isinstance(e, Thought)) == "hm"
    assert [e for e in events if isinstance(e, ToolCall)] == [ToolCall("f", {"x": 1})]


@pytest.mark.parametrize(
    "params",
    [Params(thinking=True), Params(tools=[{"type": "function", "function": {"name": "f"}}])],
)
def test_template_options_without_effect_are_refused(talker: LM, params: Params) -> None:
    with pytest.raises(ParameterError, match="neither thinking nor tools"):
        talker.generate("a circle", params=params)
    with pytest.raises(ParameterError, match="token ids is past it"):
        talker.generate([5, 6], params=params)


def test_left_to_right_takes_no_batch(lm: LM) -> None:
    with pytest.raises(ParameterError, match="batch=2 would have no effect"):
        lm.generate_many([PROMPT, PROMPT], mode="ar", batch=2)


def test_a_draft_shows_the_whole_canvas(talker: LM) -> None:
    params = Params(max_tokens=32, seed=4, max_steps=3)
    drafts = [e for e in talker.stream("a", params=params) if isinstance(e, Draft)]
    assert [(d.canvas, d.step) for d in drafts[:3]] == [(0, 1), (0, 2), (0, 3)]
    for draft in drafts:
        for part in (draft.token_ids, draft.entropy, draft.accepted, draft.noisy_ids):
            assert len(part) == TINY.canvas_length
        assert any(draft.accepted)
        assert min(draft.entropy) >= 0
        assert draft.text == talker.tokenizer.decode(draft.token_ids)


def test_usage_is_what_happened(lm: LM) -> None:
    ticks = iter(range(100))
    timed = LM(lm.model, settings=lm.settings, clock=lambda: float(next(ticks)))
    result = timed.generate(PROMPT, params=Params(max_tokens=20, seed=1, max_steps=4))
    usage = result.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(PROMPT), 20)
    assert (usage.canvases, usage.steps, usage.seconds) == (2, 8, 1.0)
    assert usage.tokens_per_forward == 20 / 8
    assert result.finish_reason == "length"


def test_an_answer_stops_after_the_closing_token(lm: LM) -> None:
    said = lm.generate(PROMPT, params=Params(max_tokens=48, seed=7)).token_ids
    closing = said[20]  # in the second canvas
    stopper = LM(lm.model, settings=type(lm.settings)(eos_ids=frozenset({closing}), max_steps=6))
    result = stopper.generate(PROMPT, params=Params(max_tokens=48, seed=7))
    assert result.token_ids == said[: said.index(closing) + 1]
    assert result.finish_reason == "stop"


def test_the_last_canvas_is_not_encoded(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = lm.network.encode

    def note(ids: torch.Tensor, *rest: object) -> torch.Tensor:
        encoded.append(ids.shape[1])
        return encode(ids, *rest)

    monkeypatch.setattr(lm.network, "encode", note)
    lm.generate(PROMPT, params=Params(max_tokens=48, seed=1, max_steps=2))
    assert encoded == [len(PROMPT), 16, 16]


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_a_stream_that_is_closed_gives_its_pages_back(lm: LM, mode: str) -> None:
    stream = lm.stream(PROMPT, params=Params(max_tokens=48, seed=1), mode=mode)
    assert lm.pool.in_use == 0  # nothing is done before the first event is asked for
    seen = list(islice(stream, 2)) if mode == "diffusion" else []
    if mode == "ar":  # without text there is no event before the last
        stream.close()
    else:
        assert all(isinstance(event, Draft) for event in seen)
        assert lm.pool.in_use > 0
        stream.close()
    assert lm.pool.in_use == 0


def test_a_stream_that_is_forgotten_gives_its_pages_back(talker: LM) -> None:
    for mode in ("diffusion", "ar"):
        for _ in talker.stream("a circle", params=Params(max_tokens=48, seed=1), mode=mode):
            assert talker.pool.in_use > 0
            break
        gc.collect()
        assert talker.pool.in_use == 0


def test_a_failure_gives_the_pages_back(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the network broke")

    monkeypatch.setattr(lm.network, "denoise", fail)
    with pytest.raises(RuntimeError, match="broke"):
        lm.generate(PROMPT, params=Params(max_tokens=16))
    assert lm.pool.in_use == 0


def test_a_consumer_stays_out_of_inference_mode(lm: LM) -> None:
    for _ in lm.stream(PROMPT, params=Params(max_tokens=16, max_steps=2)):
        assert not torch.is_inference_mode_enabled()


def test_greedy_is_the_likeliest_token_every_time(lm: LM) -> None:
    result = lm.generate(PROMPT, params=Params(max_tokens=12), mode="ar")
    ids = [*PROMPT, *result.token_ids]
    best = lm.causal_logits(ids)[0].argmax(dim=-1).tolist()
    assert best[len(PROMPT) - 1 : -1] == list(result.token_ids)
    assert (result.usage.steps, result.usage.canvases) == (12, 0)
    assert result.usage.tokens_per_forward == 1


def test_left_to_right_samples_with_the_requests_seed(lm: LM) -> None:
    warm = Params(max_tokens=12, temperature=1.5, seed=5)
    first, again = (lm.generate(PROMPT, params=warm, mode="ar") for _ in range(2))
    assert first.token_ids == again.token_ids
    cold = Params(max_tokens=12, temperature=0, seed=5)
    greedy = lm.generate(PROMPT, params=Params(max_tokens=12), mode="ar")
    assert lm.generate(PROMPT, params=cold, mode="ar").token_ids == greedy.token_ids
    other = Params(max_tokens=12, temperature=1.5, seed=6)
    assert lm.generate(PROMPT, params=other, mode="ar").token_ids != first.token_ids


def test_left_to_right_needs_a_token_to_start_from(lm: LM) -> None:
    with pytest.raises(ParameterError, match="at least 1 token"):
        lm.generate([], mode="ar")
    assert len(lm.generate([], params=Params(max_tokens=16, max_steps=2)).token_ids) == 16


def test_a_long_prompt_is_refused_with_numbers(lm: LM) -> None:
    with pytest.raises(ContextLengthError, match=r"500 tokens .* context is 192"):
        lm.generate([5] * 500)
    with pytest.raises(ContextLengthError, match="193 tokens do not fit"):
        lm.prefill([5] * 193)


def test_errors_come_at_the_call_not_at_the_first_event(lm: LM) -> None:
    with pytest.raises(CanvasError):
        lm.stream([5] * 500)


def test_without_a_tokenizer_there_are_ids_but_no_text(lm: LM) -> None:
    *drafts, done = lm.stream(PROMPT, params=Params(max_tokens=16, max_steps=2))
    assert isinstance(done, Done)
    assert len(done.result.token_ids) == 16
    for needs_text in (
        lambda: done.result.text,
        lambda: drafts[0].text,
        lambda: lm.tokenizer,
        lambda: lm.generate("hello"),
    ):
        with pytest.raises(MissingTokenizerError, match=r"tokenizer\.json"):
            needs_text()


def test_denoise_logits_condition_on_the_step_before(lm: LM) -> None:
    canvas = torch.arange(16)[None]
    with lm.prefill(PROMPT) as prefix:
        pages = lm.pool.in_use
        first = lm.denoise_logits(prefix, canvas)
        second = lm.denoise_logits(prefix, canvas, first / 0.8)
        both = lm.denoise_logits(prefix, torch.cat((canvas, canvas + 1)))
        assert (prefix.length, lm.pool.in_use) == (len(PROMPT), pages)
    assert first.shape == (1, 16, 300)
    assert first.dtype == torch.float32
    assert not torch.allclose(first, second)
    torch.testing.assert_close(both[:1], first, rtol=1e-4, atol=1e-4)
    with pytest.raises(ParameterError, match=r"expected \[1, 16, 300\]"):
        lm.denoise_logits(prefix, canvas, first[:, :3])


def test_causal_logits_of_rows_are_those_of_each(lm: LM) -> None:
    rows = [[1, 2, 3, 4], [9, 8, 7, 6]]
    logits = lm.causal_logits(rows)
    assert (logits.shape, logits.dtype) == ((2, 4, 300), torch.float32)
    assert torch.equal(logits[1:], lm.causal_logits(rows[1]))
    shorter = lm.causal_logits(rows[0][:2])
    torch.testing.assert_close(logits[:1, :2], shorter, rtol=1e-4, atol=1e-4)


def test_the_settings_of_the_folder_are_used(talker: LM) -> None:
    assert talker.settings.max_steps == 5
    assert talker.settings.eos_ids == {1, 6}
    assert talker.config == TINY


def test_skipping_what_has_settled_computes_less(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    denoise = lm.network.denoise

    def counted(ids_BL: torch.Tensor, *rest: Any) -> torch.Tensor:
        computed.append(ids_BL.numel())
        return denoise(ids_BL, *rest)

    monkeypatch.setattr(lm.network, "denoise", counted)
    params = Params(seed=3, max_steps=8, max_tokens=8, entropy_bound=5.0, t_min=0.05, t_max=0.05)
    lm.generate(PROMPT, params=params)
    everything = sum(computed)
    computed.clear()
    result = lm.generate(PROMPT, params=replace(params, skip_settled=True))
    assert len(computed) == result.usage.steps
    assert sum(computed) < everything
