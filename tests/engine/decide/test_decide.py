"""Decisions: independent, deterministic, and what the network's own logits say."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import canvaslm
from canvaslm import LM, Option, Pick, Rate, YesNo
from canvaslm.engine.decide import beside
from canvaslm.engine.decide.answers import PickAnswer, RateAnswer, YesNoAnswer
from canvaslm.engine.decide.calibration import Calibration
from canvaslm.engine.decide.decide import Rules
from canvaslm.engine.decide.layout import arrangements, asked_text
from canvaslm.engine.decide.read import LONG, MOST, TOKENS, fewest, groups
from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ContextLengthError, MissingTokenizerError, ParameterError

RULES = Rules()
STATE = "a square and a circle"
QUESTIONS = {
    "yes": YesNo("a square?"),
    "described": YesNo("a circle?", yes="round", no="not round"),
    "pick": Pick("Which?", ["square", "circle", "cube"]),
    "near": Pick("Which?", ["squa", "square", "squares", "circle"]),
    "many": Pick("Which one?", [f"s{n}" for n in range(12)]),
    "rate": Rate("How?", ["low", Option("mid", "neither"), "high"]),
}


def values(answer: object) -> list[float]:
    if isinstance(answer, YesNoAnswer):
        return [answer.probability, 1 - answer.probability]
    assert isinstance(answer, PickAnswer | RateAnswer)
    found = answer.probabilities
    return list(found.values() if isinstance(answer, PickAnswer) else found)


@pytest.fixture(scope="module")
def pocket() -> LM:
    return canvaslm.load()


@pytest.mark.parametrize("method", ["denoise", "causal"])
@pytest.mark.parametrize("rules", [{}, {"orders": 2}, {"divide_prior": True}, {"batch": 1}])
def test_company_changes_no_bit(talker: LM, method: Any, rules: dict[str, Any]) -> None:
    together = talker.decide(STATE, QUESTIONS, method=method, **rules)
    for name, question in QUESTIONS.items():
        alone = talker.decide(STATE, {name: question}, method=method, **rules)
        assert alone[name] == together[name]
    assert talker.pool.in_use == 0


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_company_changes_no_bit_of_long_questions(pocket: LM, method: Any) -> None:
    asked = {f"{n}": YesNo("Is there a circle, " + "really, " * (90 + n % 2)) for n in range(5)}
    together = pocket.decide("A circle.", asked, method=method)
    assert together.input_tokens / len(asked) > LONG
    for name in ("0", "1"):
        alone = pocket.decide("A circle.", {name: asked[name]}, method=method)
        assert alone[name] == together[name]


def test_a_pass_holds_few_tokens_so_that_others_get_their_turn() -> None:
    lengths = [1 + 37 * n for n in range(80)] * 4
    for group in groups(lengths, MOST, room=lambda length: TOKENS):
        length = lengths[group[0]]
        assert {lengths[place] for place in group} == {length}
        assert len(group) <= max(fewest(length), TOKENS // length)


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_company_changes_no_bit_of_the_embedded_model(pocket: LM, method: Any) -> None:
    asked = {f"{n}": YesNo(f"Is there a {'red ' * (n % 9)}circle?") for n in range(70)}
    together = pocket.decide("Look: a small red circle.", asked | QUESTIONS, method=method)
    for name in ("0", "13", "69", "near"):
        alone = pocket.decide(
            "Look: a small red circle.", {name: (asked | QUESTIONS)[name]}, method=method
        )
        assert alone[name] == together[name]


def listing(name: str, count: int) -> Pick:
    """A question of more than LONG tokens, whose options part in many places."""
    return Pick(
        name, [f"{n // 36} red, {n // 6 % 6} small circles on {n % 6}" for n in range(count)]
    )


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_company_changes_no_bit_of_many_options(pocket: LM, method: Any) -> None:
    """Beside questions of as many tokens, with other reads, and of the very same tokens."""
    asked = {"a": listing("a?", 40), "b": listing("b?", 40), "c": listing("c?", 30)}
    text = asked_text(asked["a"], arrangements(asked["a"], 1)[0])
    company = QUESTIONS | asked | {"same tokens": YesNo(text), "short": listing("Which?", 7)}
    together = pocket.decide("A circle.", company, method=method)
    for name, question in company.items():
        alone = pocket.decide("A circle.", {name: question}, method=method)
        assert alone[name] == together[name]
    turned = pocket.decide("A circle.", dict(reversed(company.items())), method=method)
    assert {**turned} == {**together}
    assert pocket.pool.in_use == 0


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_the_engine_changes_no_bit_of_many_options(pocket: LM, method: Any) -> None:
    asked = {"a": listing("a?", 40), "b": listing("b?", 30)} | QUESTIONS
    alone = [pocket.decide("A.", {k: q}, method=method)[k] for k, q in asked.items()]
    with Engine(pocket) as engine:
        tickets = [
            engine.submit(lambda lm, name=k, q=q: [lm.decide("A.", {name: q}, method=method)[name]])
            for k, q in asked.items()
        ]
        assert [next(iter(ticket)) for ticket in tickets] == alone


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_what_reads_have_in_common_is_encoded_once(
    talker: LM, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    encode, rows = talker.network.encode, list[int]()

    def counting(ids_BN: torch.Tensor, *others: Any) -> torch.Tensor:
        rows.append(ids_BN.shape[1])
        return encode(ids_BN, *others)

    monkeypatch.setattr(talker.network, "encode", counting)
    question = {"many": Pick("?", [f"{a}{b}{c}" for a in "ab" for b in "cd" for c in "ef"])}
    decider = talker.decider
    asked = decider.plan(STATE, question, rules=Rules(method=method)).asked[0][0]
    assert len(asked.reads) == 5
    rows.clear()
    talker.decide(STATE, question, method=method, batch=1)
    assert sum(length >= asked.own for length in rows) == 1


def test_a_long_question_in_blocks_is_the_same_as_at_once(
    pocket: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = [listing("Which?", 60)]
    (blocks,) = pocket.decide("A circle.", question).values()
    monkeypatch.setattr(beside, "WHOLE", 1 << 20)
    (whole,) = pocket.decide("A circle.", question).values()
    assert values(blocks) == pytest.approx(values(whole), abs=1e-5)


def test_every_fork_is_read_as_the_network_says(talker: LM) -> None:
    """Each canvas against the public logits, after an ordinary prefix."""
    plan = talker.decider.plan(STATE, {"q": QUESTIONS["near"]}, rules=RULES)
    (frame,), ((asked,),) = plan.frames, plan.asked
    assert len(asked.reads) > 2
    expected = []
    for read in asked.reads:
        with talker.prefill([*frame.shared, *read.own]) as prefix:
            logits = talker.denoise_logits(prefix, read.canvas)[0, read.place, [*read.labels]]
        expected.append(logits.double().log_softmax(dim=-1).tolist())
    (found,) = talker.decider.believe(plan).log_p
    assert found == pytest.approx(asked.log_p(expected), abs=1e-4)


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_questions_may_be_laid_out_on_another_thread(talker: LM, method: Any) -> None:
    rules, decider = Rules(method=method, divide_prior=True), talker.decider
    with ThreadPoolExecutor(1) as threads:
        plan = threads.submit(decider.plan, STATE, QUESTIONS, rules=rules).result()
    found = decider.answer(plan, calibration=talker.calibration, clock=lambda: 0.0)
    expected = talker.decide(STATE, QUESTIONS, method=method, divide_prior=True)
    assert {**found} == {**expected}
    assert (found.passes, found.input_tokens) == (expected.passes, expected.input_tokens)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(["squa", "square", "squares", "circle"]))
def test_the_order_of_options_changes_nothing(talker: LM, order: list[str]) -> None:
    expected = talker.decide(STATE, {"q": QUESTIONS["near"]})["q"]
    found = talker.decide(STATE, {"q": Pick("Which?", order)})["q"]
    assert isinstance(expected, PickAnswer)
    assert isinstance(found, PickAnswer)
    assert {**found.probabilities} == {**expected.probabilities}
    assert [*found.probabilities] == order


@pytest.mark.parametrize("method", ["denoise", "causal"])
def test_probabilities_add_up_to_one(talker: LM, method: Any) -> None:
    for answer in talker.decide(STATE, QUESTIONS, method=method).values():
        assert sum(values(answer)) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in values(answer))


@pytest.mark.parametrize("state", [STATE, STATE * 3, ""])
def test_they_are_those_of_the_networks_own_passes(talker: LM, state: str) -> None:
    """Against the public logits over the whole vocabulary, after an ordinary prefix; the window of
    the sliding layer is shorter than a question."""
    decider = talker.decider
    question = QUESTIONS["yes"]
    frame = decider.frame(state)
    own = decider.layout.own(question, (0, 1), frame)
    options = decider.layout.options(question, frame)
    said = [option[0] for option in options]
    assert len(set(said)) == 2
    (read,) = decider.layout.reads(own, decider.ask(question, frame, RULES).forks, options)
    with talker.prefill([*frame.shared, *own]) as prefix:
        denoised = talker.denoise_logits(prefix, read.canvas)[0, 0, said]
    causal = talker.causal_logits([*frame.shared, *own])[0, -1, said]
    for method, logits in (("denoise", denoised), ("causal", causal)):
        expected = logits.double().softmax(dim=-1)
        (found,) = talker.decide(state, [question], method=method).values()
        torch.testing.assert_close(
            torch.tensor(values(found), dtype=torch.float64), expected, atol=1e-5, rtol=1e-4
        )


def test_options_that_share_their_first_token_are_told_apart(talker: LM) -> None:
    """By the chain rule over the public causal logits."""
    decider = talker.decider
    pick = Pick("Which?", ["squa", "square", "circle"])
    frame = decider.frame(STATE)
    options = decider.layout.options(pick, frame)
    assert options[0][0] == options[1][0] != options[2][0]
    own = decider.layout.own(pick, (2, 0, 1), frame)  # sorted by text
    whole = [*frame.shared, *own]
    depth = next(n for n in range(9) if options[0][n] != options[1][n])
    first = talker.causal_logits(whole)[0, -1, [options[0][0], options[2][0]]].softmax(-1)
    after = talker.causal_logits([*whole, *options[0][:depth]])[0, -1]
    parted = after[[options[0][depth], options[1][depth]]].softmax(-1)
    expected = [float(first[0] * parted[0]), float(first[0] * parted[1]), float(first[1])]
    (found,) = talker.decide(STATE, [pick], method="causal").values()
    assert values(found) == pytest.approx(expected, abs=1e-5)


def test_a_temperature_softens_its_own_kind_and_method_only(talker: LM) -> None:
    plain = {m: talker.decide(STATE, QUESTIONS, method=m) for m in ("denoise", "causal")}
    talker.calibration = Calibration(temperatures={"denoise": {"pick": 1e6}})
    soft = talker.decide(STATE, QUESTIONS)
    assert values(soft["pick"]) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert soft["yes"] == plain["denoise"]["yes"]
    assert talker.decide(STATE, QUESTIONS, method="causal").answers == plain["causal"].answers


def test_the_prior_is_divided_out(talker: LM) -> None:
    question = [QUESTIONS["pick"]]
    (with_state,) = talker.decide(STATE, question).values()
    (without,) = talker.decide("", question).values()
    (divided,) = talker.decide(STATE, question, divide_prior=True).values()
    pairs = zip(values(with_state), values(without), strict=True)
    ratios = [p / q for p, q in pairs]
    assert values(divided) == pytest.approx([r / sum(ratios) for r in ratios])
    (of_nothing,) = talker.decide("", question, divide_prior=True).values()
    assert values(of_nothing) == pytest.approx([1 / 3] * 3)


def test_the_state_is_counted_once(talker: LM) -> None:
    one = talker.decide(STATE, {"a": YesNo("a?")})
    two = talker.decide(STATE, {"a": YesNo("a?"), "b": YesNo("a?")})
    shared = len(talker.decider.frame(STATE).shared)
    assert two.input_tokens - shared == 2 * (one.input_tokens - shared)
    assert (one.passes, two.passes) == (2, 2)


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"method": "guess"}, ParameterError, "method must be one of denoise, causal"),
        ({"orders": 0}, ParameterError, "orders must be at least 1"),
        ({"orders": True}, ParameterError, "orders must be an integer"),
        ({"divide_prior": 1}, ParameterError, "divide_prior must be True or False"),
        ({"batch": 0}, ParameterError, "batch must be at least 1"),
        ({"questions": {}}, ParameterError, "no questions"),
        ({"state": "a " * 200}, ContextLengthError, "shorten the state by"),
        ({"questions": [Pick("?", ["a", "b" * 200])]}, ContextLengthError, "an option has"),
        ({"state": "\ud800"}, ParameterError, "surrogate"),
    ],
)
def test_what_cannot_be_decided_is_refused_before_any_work(
    talker: LM, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: Any, reason: str
) -> None:
    asked: dict[str, Any] = {"state": STATE, "questions": QUESTIONS} | options
    assert talker.decider.together
    monkeypatch.setattr(talker.network, "encode", None)
    with pytest.raises(error, match=reason):
        talker.decide(asked.pop("state"), asked.pop("questions"), **asked)


def test_without_a_tokenizer_there_are_no_decisions(lm: LM) -> None:
    with pytest.raises(MissingTokenizerError):
        lm.decide(STATE, QUESTIONS)


def test_other_networks_answer_one_at_a_time_and_alike(checkpoint: Path) -> None:
    plain = canvaslm.load(checkpoint, device="cpu", dtype="float64")
    fused = canvaslm.load(checkpoint, device="cpu", dtype="float32")
    assert plain.decider.together == 1
    together = plain.decide(STATE, QUESTIONS)
    for name, answer in fused.decide(STATE, QUESTIONS).items():
        assert values(answer) == pytest.approx(values(together[name]), abs=1e-4)
        assert plain.decide(STATE, {name: QUESTIONS[name]})[name] == together[name]
