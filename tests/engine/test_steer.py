"""Every parameter does what it says, in both modes, alone and together with all the others."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvaslm import LM, Done, Draft, Params, Text
from canvaslm.control.language.constraints import Regex
from canvaslm.engine.reading import Reading
from canvaslm.engine.result import Result
from canvaslm.errors import ConstraintError, MissingTokenizerError, ParameterError
from canvaslm.text.spans import Answer

PROMPT = [5, 9, 20, 31, 40, 77, 120]
MODES = pytest.mark.parametrize("mode", ["diffusion", "ar"])
LENGTH = 40  # two canvases and a half
EVERYTHING: dict[str, Any] = {
    "temperature": 1.2,
    "top_k": 60,
    "top_p": 0.95,
    "min_p": 0.001,
    "logit_bias": {40: 3.0, 41: -100},
    "bad_words": ["th", [50, 51], [60]],
    "repetition_penalty": 1.1,
    "presence_penalty": 0.3,
    "frequency_penalty": 0.2,
    "stop": ["zq", "%&"],
    "logprobs": True,
    "top_logprobs": 2,
    "prompt_logprobs": True,
}


def read(lm: LM, ids: Sequence[int]) -> str:
    """The answer's text of some ids."""
    reading = Reading(lm.tokenizer)
    reading.push(ids)
    return "".join(span.text for span in reading.spans if isinstance(span, Answer))


def ask(lm: LM, mode: str = "diffusion", **given: Any) -> Result:
    params = Params(**{"max_tokens": LENGTH, "seed": 3} | given)
    return lm.generate(PROMPT, params=params, mode=mode)


def test_a_plain_request_is_not_steered(talker: LM) -> None:
    job = talker._requests.prepare(PROMPT, Params(stop="x", max_tokens=20, effort=None), "ar")[0]
    assert job.steering is None
    assert job.ledger is None
    assert job.shared is None


def test_temperature_is_a_factor_on_the_schedule(lm: LM) -> None:
    assert ask(lm, temperature=1).token_ids == ask(lm).token_ids
    halved = ask(lm, t_min=0.2, t_max=0.4)
    assert ask(lm, temperature=0.5).token_ids == halved.token_ids


def test_at_zero_the_likeliest_token_is_the_candidate(lm: LM) -> None:
    cold = ask(lm, temperature=0).token_ids
    assert cold != ask(lm, temperature=1).token_ids
    assert cold == ask(lm, top_k=1).token_ids
    assert cold == ask(lm, temperature=0, top_p=0.3, min_p=0.5).token_ids


def test_top_k_of_one_is_greedy_left_to_right(lm: LM) -> None:
    greedy = ask(lm, "ar").token_ids
    assert ask(lm, "ar", temperature=1.5, top_k=1).token_ids == greedy
    assert ask(lm, "ar", temperature=1.5, top_p=1e-6).token_ids == greedy


@MODES
def test_a_bias_of_a_hundred_decides(lm: LM, mode: str) -> None:
    assert set(ask(lm, mode, logit_bias={33: 100}).token_ids) == {33}
    never = ask(lm, mode).token_ids[0]
    assert never not in ask(lm, mode, logit_bias={never: -100}).token_ids


def test_a_bias_may_be_on_the_text_of_one_token(talker: LM) -> None:
    [id] = talker.tokenizer.encode("x")
    assert set(ask(talker, logit_bias={"x": 100}).token_ids) == {id}


@MODES
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), data=st.data())
def test_a_bad_word_never_appears(talker: LM, mode: str, seed: int, data: st.DataObject) -> None:
    warm = {"seed": seed} if mode == "diffusion" else {"seed": seed, "temperature": 2.0}
    text = ask(talker, mode, **warm).text
    start = data.draw(st.integers(0, max(len(text) - 3, 0)))
    words = [word for word in (text[start : start + 2], text[start + 2 : start + 5]) if word]
    steered = ask(talker, mode, bad_words=words, **warm)
    assert len(steered.token_ids) == LENGTH or steered.finish_reason == "stop"
    whole = talker.tokenizer.decode(steered.token_ids)
    for word in words:
        if "\ufffd" not in word:
            assert word not in steered.text
            assert word not in whole


@MODES
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), start=st.integers(0, LENGTH - 4))
def test_a_bad_sequence_never_appears(lm: LM, mode: str, seed: int, start: int) -> None:
    warm = {"seed": seed} if mode == "diffusion" else {"seed": seed, "temperature": 2.0}
    said = ask(lm, mode, **warm).token_ids
    words = [list(said[start : start + 3]), [said[0]]]
    steered = ask(lm, mode, bad_words=words, **warm).token_ids
    assert len(steered) == LENGTH
    assert said[0] not in steered
    assert words[0] not in [list(steered[n : n + 3]) for n in range(LENGTH)]


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty", "repetition_penalty"])
@MODES
def test_penalties_make_an_answer_more_varied(lm: LM, mode: str, name: str) -> None:
    bias = {33: 12.0, 34: 12.0}  # else it would say nothing twice
    plain = ask(lm, mode, logit_bias=bias).token_ids
    steered = ask(lm, mode, logit_bias=bias, **{name: 2}).token_ids
    assert len(set(steered)) > len(set(plain))


@MODES
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 60), length=st.integers(1, 5), effort=st.sampled_from([None, "fast"]))
def test_nothing_after_a_stop_string_leaves(
    talker: LM, mode: str, start: int, length: int, effort: str | None
) -> None:
    given = {"effort": effort} if mode == "diffusion" else {}
    free = ask(talker, mode, **given)
    start %= max(len(free.text), 1)
    stop = free.text[start : start + length] or "?"
    params = Params(max_tokens=LENGTH, seed=3, stop=["never said", stop], **given)
    *events, done = talker.stream(PROMPT, params=params, mode=mode)
    assert isinstance(done, Done)
    result = done.result
    assert "".join(e.delta for e in events if isinstance(e, Text)) == result.text
    assert told(talker.generate(PROMPT, params=params, mode=mode)) == told(result)
    assert stop not in result.text
    if effort is None:  # what is before the cut is what it would have been
        kept, found, _ = free.text.partition(stop)
        assert (result.text, result.stop) == (kept, found or None)
        assert result.token_ids == free.token_ids[: len(result.token_ids)]
    if result.stop is not None:
        assert (result.stop, result.finish_reason) == (stop, "stop")
        assert stop not in read(talker, result.token_ids)
    for draft in events:
        if isinstance(draft, Draft) and draft.canvas == 0:
            assert len(draft.token_ids) == len(draft.noisy_ids) == len(draft.entropy)
            assert stop not in read(talker, draft.token_ids)


def test_a_canvas_settles_earlier_where_the_rest_is_cut_off(lm: LM) -> None:
    whole = ask(lm, max_tokens=16, effort="fast", max_steps=30)
    short = ask(lm, max_tokens=2, effort="fast", max_steps=30)
    assert len(short.token_ids) == 2
    assert short.usage.steps < whole.usage.steps
    assert ask(lm, max_tokens=2).usage.steps == ask(lm, max_tokens=16).usage.steps  # reference


def test_a_constraint_holds_with_everything_else(talker: LM) -> None:
    pattern = "[a-f]{4,9} [0-9]{2,6}"
    for rules in ({}, {"temperature": 0}, {"top_p": 0.5}, {"top_k": 2, "bad_words": ["ab", "1"]}):
        for mode in ("diffusion", "ar"):
            warm = {"temperature": 1.5} if mode == "ar" and "temperature" not in rules else {}
            text = ask(talker, mode, constraint=Regex(pattern), **rules, **warm).text
            assert re.fullmatch(pattern, text), (text, rules)
            assert "bad_words" not in rules or not re.search("ab|1", text)


def test_words_that_a_constraint_needs_are_told(talker: LM) -> None:
    with pytest.raises(ParameterError):
        ask(talker, constraint=Regex("abba"), bad_words=["bb"])
    with pytest.raises(ConstraintError):
        ask(talker, constraint=Regex("[a-z]{50}"), max_tokens=3)


@MODES
def test_everything_together_is_reproducible(talker: LM, mode: str) -> None:
    params = Params(max_tokens=LENGTH, seed=5, **EVERYTHING)
    first = talker.generate(PROMPT, params=params, mode=mode)
    prompts = [PROMPT[:3], PROMPT]
    company = talker.generate_many(prompts, params=params, mode=mode)[1]
    *events, done = talker.stream(PROMPT, params=params, mode=mode)
    assert isinstance(done, Done)
    assert told(first) == told(company) == told(done.result)
    assert "".join(e.delta for e in events if isinstance(e, Text)) == first.text
    assert "th" not in first.text
    assert not {41, 60} & set(first.token_ids)
    assert talker.pool.in_use == 0


def told(result: Result) -> object:
    """All of a result that does not depend on the clock."""
    return (result.token_ids, result.text, result.stop, result.logprobs, result.prompt_logprobs)


def test_batches_may_mix_what_is_steered(talker: LM) -> None:
    params = Params(max_tokens=LENGTH, seed=5, **EVERYTHING)
    together = talker.generate_many([PROMPT, PROMPT[:4]], params=params, batch=2)
    alone = [talker.generate(p, params=params) for p in (PROMPT, PROMPT[:4])]
    assert [r.token_ids for r in together] == [r.token_ids for r in alone]


@MODES
def test_choices_are_what_their_seeds_give(lm: LM, mode: str) -> None:
    given = {"temperature": 1.5} if mode == "ar" else {}
    result = ask(lm, mode, n=3, **given)
    assert [choice.seed for choice in result.choices] == [3, 4, 5]
    for choice in result.choices:
        assert choice.token_ids == ask(lm, mode, seed=choice.seed, **given).token_ids
    assert lm.pool.in_use == 0


def test_the_prompt_of_all_choices_is_encoded_once(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = lm.network.encode

    def note(ids: Any, *rest: Any) -> Any:
        encoded.append(ids.shape[1])
        return encode(ids, *rest)

    monkeypatch.setattr(lm.network, "encode", note)
    ask(lm, n=3, max_tokens=16, max_steps=2)
    assert encoded == [len(PROMPT)]


def test_a_failure_gives_the_pages_of_all_choices_back(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the network broke")

    monkeypatch.setattr(lm.network, "denoise", fail)
    with pytest.raises(RuntimeError, match="broke"):
        ask(lm, n=3)
    assert lm.pool.in_use == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"logit_bias": {300: 1}},
            r"logit_bias: token id 300 is out of range, expected \[0, 300\)",
        ),
        ({"logit_bias": {"a circle and x": 1}}, "a bias is on one token"),
        ({"bad_words": [[5, 300]]}, "bad_words: token id 300 is out of range"),
        ({"bad_words": [[id] for id in range(300)]}, "every token"),
    ],
)
def test_what_the_vocabulary_cannot_serve_is_refused(
    talker: LM, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        ask(talker, **wrong)


@pytest.mark.parametrize(
    "needs_text",
    [{"stop": "x"}, {"bad_words": ["x"]}, {"logit_bias": {"x": 1}}, {"constraint": Regex("x")}],
)
def test_texts_need_a_tokenizer(lm: LM, needs_text: dict[str, Any]) -> None:
    with pytest.raises(MissingTokenizerError):
        ask(lm, **needs_text)


def test_a_stream_is_of_one_answer(lm: LM) -> None:
    with pytest.raises(ParameterError, match="a stream is of one answer, and n is 2"):
        lm.stream(PROMPT, params=Params(n=2))
