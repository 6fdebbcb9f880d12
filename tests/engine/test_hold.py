"""Text leaves as it is settled, and what has left stays."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.conftest import TINY, sharpen

from canvaslm import LM, Choice, Done, Draft, Params, Regex, Result, Text, load
from canvaslm.engine.diffuse import Commit
from canvaslm.engine.efforts import PRESETS, Plan, Preset
from canvaslm.engine.reading import Reading, joined
from canvaslm.engine.settings import Settings
from canvaslm.errors import ParameterError
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer
from canvaslm.tasks import get
from canvaslm.text.spans import Answer, Thought

COOL: dict[str, Any] = {
    "hold_settled": True,
    "max_steps": 12,
    "entropy_bound": 5.0,
    "t_min": 0.02,
    "t_max": 0.02,
}
"""Cold enough for random weights to be sure of what they say."""

PROMPT = [5, 9, 20, 31, 40, 77, 120]
SEEDS = range(8)


@pytest.fixture(scope="module")
def pocket() -> LM:
    return load()


def prompts(task: str, count: int = 2) -> list[str]:
    rng, cases = random.Random(5), get(task)
    return [cases.sample(rng, split="test", bin=bin).prompt for bin in cases.bins[:count]]


def watched(lm: LM, prompt: Any, params: Params) -> tuple[Result, int]:
    """The answer, and how many tokens were held early; what a viewer relies on is checked."""
    said, thought, early = "", "", 0
    held: dict[int, list[int]] = {}
    for event in lm.stream(prompt, params=params):
        match event:
            case Text(delta=delta):
                said += delta
            case Thought(text=text):
                thought += text
            case Draft() as draft:
                start = list(draft.token_ids[: draft.held])
                before = held.get(draft.canvas, [])
                assert start[: len(before)] == before
                assert draft.held == len(start)
                assert list(draft.noisy_ids[: draft.held]) == start
                held[draft.canvas] = start
                early = max(early, draft.held)
            case Done(result=result):
                pass
    assert (said, thought) == (result.text, result.thoughts)
    kept = [id for canvas in sorted(held) for id in held[canvas]]
    if len(held) == 1:
        assert kept == list(result.token_ids[: len(kept)])
    return result, early


def parts(result: Result) -> tuple[Any, ...]:
    """What two runs of one request have in common; not the time."""
    usage = result.usage
    return result.token_ids, result.text, result.finish_reason, result.stop, usage.steps


@pytest.mark.parametrize("given", [{}, {"max_tokens": 7}, {"skip_settled": True}, {"top_k": 3}])
def test_what_a_stream_says_is_the_answer(talker: LM, given: dict[str, Any]) -> None:
    found = []
    for seed in SEEDS:
        params = Params(**COOL | {"max_tokens": 40, "seed": seed} | given)
        result, early = watched(talker, "a square", params)
        assert parts(talker.generate("a square", params=params)) == parts(result)
        found.append(early)
    assert any(found)


def test_company_changes_nothing(talker: LM) -> None:
    params = Params(**COOL, max_tokens=40, seed=3)
    asked = ["a square", "a circle and", "def"]
    together = talker.generate_many(asked, params=params, batch=3)
    assert [parts(one) for one in together] == [
        parts(talker.generate(prompt, params=params)) for prompt in asked
    ]
    params = Params(**COOL, max_tokens=40, seed=3, n=3)
    [several] = talker.generate_many(["def"], params=params, batch=3)
    for seed, choice in enumerate(several.choices, start=3):
        alone = talker.generate("def", params=Params(**COOL, max_tokens=40, seed=seed))
        assert parts(choice) == parts(alone)


def test_stop_strings_never_leave(talker: LM) -> None:
    stopped = 0
    for seed in SEEDS:
        plain = talker.generate("a square", params=Params(**COOL, max_tokens=40, seed=seed)).text
        if len(plain) < 8:
            continue
        stop = plain[4:7]
        params = Params(**COOL, max_tokens=40, seed=seed, stop=[stop])
        result, _ = watched(talker, "a square", params)
        assert stop not in result.text
        assert plain.startswith(result.text) or result.stop is None
        stopped += result.stop is not None
    assert stopped


TEXTS = (
    "ab abc é😀 ba",
    "<|channel>thought\nXab b<channel|>ab b",
    "a<|tool_call>call:f{a:1}<tool_call|>b ab",
)


@given(
    st.sampled_from(TEXTS),
    st.lists(st.sampled_from(["ab ", "b", "c é", "zz"]), max_size=2, unique=True),
    st.lists(st.integers(1, 4), max_size=6),
)
def test_reading_ahead_reads_the_same(
    pocket: LM, text: str, stops: list[str], sizes: list[int]
) -> None:
    ids = pocket.tokenizer.encode(text)
    plain, ahead = Reading(pocket.tokenizer, stops), Reading(pocket.tokenizer, stops)
    for start in range(0, len(ids), 6):  # canvases
        canvas = ids[start : start + 6]
        previewed, done = plain.preview(canvas), 0
        for size in sizes:
            ahead.read_ahead(canvas[done : done + size])
            done = min(done + size, len(canvas))
            assert ahead.preview(canvas) == previewed
            assert ahead.left <= ahead.ahead == done
        plain.push(canvas)
        ahead.push(canvas)
        assert (ahead.ahead, ahead.left) == (0, 0)
    plain.finish()
    ahead.finish()
    assert joined(ahead.spans) == joined(plain.spans)
    assert (ahead.stop, ahead.cut) == (plain.stop, plain.cut)


def test_what_may_begin_a_stop_string_has_not_left(pocket: LM) -> None:
    encode = pocket.tokenizer.encode
    reading = Reading(pocket.tokenizer, ["ba."])
    ids = [id for word in ("a", " b", "a") for id in encode(word, special=False)]
    reading.read_ahead(ids)
    said = "".join(span.text for span in reading.spans if isinstance(span, Answer))
    assert said == "a "
    assert pocket.tokenizer.decode(ids[: reading.left]) == "a"


@pytest.mark.parametrize("kind", ["causal", "path", "loo"])
def test_log_probabilities_are_those_of_the_answer(talker: LM, kind: Any) -> None:
    params = Params(**COOL, max_tokens=40, seed=1, logprobs=True, logprobs_kind=kind)
    result, _ = watched(talker, "a square", params)
    assert [entry.token_id for entry in result.logprobs or ()] == list(result.token_ids)
    assert all(entry.logprob <= 1e-6 for entry in result.logprobs or ())


def test_penalties_and_bad_words_go_on_to_work(talker: LM) -> None:
    for seed in SEEDS:
        said = talker.generate("a square", params=Params(**COOL, max_tokens=40, seed=seed)).text
        word = next(iter(re.findall(r"[a-z]{2}", said)), "zz")
        params = Params(**COOL, max_tokens=40, seed=seed, bad_words=[word], repetition_penalty=1.3)
        result, _ = watched(talker, "a square", params)
        assert word not in result.text


def test_a_constraint_is_met(talker: LM, pocket: LM) -> None:
    found = 0
    for seed in SEEDS:
        pattern = r"[a-f]{3}( [a-f]{2}){4,9}\."
        params = Params(**COOL, max_tokens=60, seed=seed, constraint=Regex(pattern))
        result, early = watched(talker, "a square", params)
        assert re.fullmatch(pattern, result.text)
        found += early > 0
    assert found
    params = Params(hold_settled=True, seed=1, max_tokens=8, constraint=Choice(["yes", "no"]))
    assert watched(pocket, prompts("ask")[0], params)[0].text in ("yes", "no")


def planned(plan: Plan, *, ends: frozenset[int]) -> LM:
    """Random weights with this plan, under the name of an effort."""
    model = Transformer(TINY).eval()
    initialise(model, seed=1)
    presets = PRESETS | {"fast": Preset(plan=plan)}
    return LM(sharpen(model), settings=Settings(eos_ids=ends, max_steps=6, presets=presets))


LOOPING = {"max_tokens": 112, "logit_bias": {7: 17.0}, "stability": 2}


@pytest.mark.parametrize(
    ("plan", "ends", "given", "seed"),
    [
        (Plan(first_share=0.5), range(80), {"max_tokens": 16}, 32),
        (Plan(redrafts=2), range(4), LOOPING, 2),
    ],
    ids=["wider", "loop"],
)
def test_a_canvas_that_is_drafted_again_keeps_its_start(
    plan: Plan, ends: range, given: dict[str, Any], seed: int
) -> None:
    lm = planned(plan, ends=frozenset(ends))
    params = Params(**COOL, **given, seed=seed, effort="fast")
    [job] = lm._requests.prepare(PROMPT, params, "diffusion")
    again, attempt = 0, (0, 0)
    kept: dict[int, list[int]] = {}
    for piece in lm._requests._run([job], "diffusion"):
        if isinstance(piece, Commit):
            continue
        state, before = piece.state, kept.get(piece.canvas, [])
        assert state.best[0, : len(before)].tolist() == before
        last, attempt = attempt, (state.best.shape[1], job.redrafts)
        again += attempt != last and bool(before)
        kept[piece.canvas] = state.best[0, : state.held[0]].tolist()
    assert again
    assert kept[0][: len(job.ids)] == job.ids[: len(kept[0])]


@pytest.mark.parametrize("effort", [None, "balanced", "fast"])
def test_the_embedded_model_says_things_early(pocket: LM, effort: Any) -> None:
    early = 0
    for task in ("scenes", "json"):
        for prompt in prompts(task, count=5):
            params = Params(hold_settled=True, seed=0, effort=effort)
            early += watched(pocket, prompt, params)[1] > 0
    assert early >= 3


def test_without_it_nothing_is_held(pocket: LM) -> None:
    prompt, params = prompts("scenes")[0], Params(seed=0)
    assert pocket.settings.sampler(params).hold is None
    assert watched(pocket, prompt, params)[1] == 0


def test_what_cannot_be_held_is_refused(pocket: LM) -> None:
    with pytest.raises(ParameterError, match="hold_settled would have no effect with mode='ar'"):
        pocket.stream("a", params=Params(hold_settled=True), mode="ar")
    with pytest.raises(ParameterError, match="hold_settled lets text leave that effort='quality'"):
        pocket.stream("a", params=Params(hold_settled=True, effort="quality"))
    with pytest.raises(ParameterError, match='logprobs_kind="denoiser" is about the last step'):
        Params(hold_settled=True, logprobs=True, logprobs_kind="denoiser")
    with pytest.raises(ParameterError, match="hold_settled cannot be served here"):
        pocket.infill("a", "b", params=Params(hold_settled=True))
