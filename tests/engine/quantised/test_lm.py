"""A quantised model does whatever a model does."""

import pytest

import canvaslm
from canvaslm import LM, Params, Pick, YesNo
from canvaslm.model.native import Native
from canvaslm.quant.scheme import Scheme

BRIEF = Params(max_tokens=24, max_steps=3, seed=1)


@pytest.fixture(scope="module", params=["int4", "embedding too"])
def lm(request: pytest.FixtureRequest) -> LM:
    quant = request.param if request.param == "int4" else Scheme(embedding="int8")
    return canvaslm.load(quant=quant)


def test_no_second_network_is_kept(lm: LM) -> None:
    assert isinstance(lm.model, Native)
    assert lm.network is lm.model
    assert lm.placement.why_device == "quantised weights run there"


def test_answers_are_the_same_each_time_and_streamed(lm: LM) -> None:
    first = lm.generate("a red square", params=BRIEF)
    assert lm.generate("a red square", params=BRIEF).token_ids == first.token_ids
    *_, done = lm.stream("a red square", params=BRIEF)
    assert isinstance(done, canvaslm.Done)
    assert done.result.token_ids == first.token_ids
    brief = Params(max_tokens=8, seed=1)
    assert lm.generate("a red square", params=brief, mode="ar").usage.completion_tokens
    assert lm.pool.in_use == 0


def test_logits_are_near_those_of_the_float_model(lm: LM) -> None:
    exact = canvaslm.load(device="cpu", dtype="float32")
    with lm.prefill("a red square") as mine, exact.prefill("a red square") as other:
        found, wanted = (
            one.denoise_logits(prefix, [3] * 32) for one, prefix in ((lm, mine), (exact, other))
        )
        again = lm.denoise_logits(mine, [3] * 32, found)
    spread = (wanted - wanted.mean(-1, keepdim=True)).norm()
    assert float((found - wanted).norm() / spread) < 0.25
    assert again.isfinite().all()


def test_decisions_scores_and_rewriting(lm: LM) -> None:
    answers = lm.decide("a ball", {"a": YesNo("Is it red?"), "b": Pick("Which?", ["x", "y"])})
    assert set(answers.answers) == {"a", "b"}
    assert lm.score("def f(x):").tokens
    assert lm.elbo("hello", "world", samples=2).mean < 0
    filled = lm.infill("def f(x):", "\n", max_gap=4, params=Params(seed=1))
    assert filled.document.startswith("def f(x):")
    assert lm.repair("a red square", params=Params(seed=1)).text
