"""The engine with real requests: company changes nothing, nothing is lost, nothing leaks."""

import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from canvaslm import LM, Done, Params, YesNo
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.serving.limits import Limits
from canvaslm.engine.serving.ticket import Ended, Item, Ticket, Told
from canvaslm.errors import (
    ContextLengthError,
    DeadlineError,
    OverloadedError,
    ParameterError,
    RequestCancelledError,
    StoppedError,
)

PROMPT = "Draw: a small red circle in the center."


def ids_of(ticket: Ticket) -> tuple[int, ...]:
    *_, last = ticket
    assert isinstance(last, Done)
    return last.result.token_ids


def streaming(prompt: str, params: Params, mode: str = "diffusion"):  # type: ignore[no-untyped-def]
    return lambda lm: lm.stream(prompt, params=params, mode=mode)


def long(lm: LM) -> Iterable[object]:
    """A request that takes seconds."""
    closing = dict.fromkeys(lm.settings.eos_ids, -100)
    params = Params(max_tokens=1500, seed=1, logit_bias=closing, confidence=1e-9)
    return lm.stream(PROMPT, params=params)


def requests() -> list[tuple[str, Params, str]]:
    found = []
    for seed in range(4):
        found.append((PROMPT, Params(seed=seed), "diffusion"))
        found.append((PROMPT * 20, Params(seed=seed, max_tokens=40), "ar"))
        found.append(("Look: a blue square.", Params(seed=seed, temperature=0.5), "diffusion"))
        found.append((PROMPT, Params(seed=seed, effort="fast", stop="circle"), "diffusion"))
        found.append((PROMPT, Params(seed=seed, logprobs=True, top_logprobs=2), "diffusion"))
    return found


@pytest.mark.parametrize("order", [0, 1])
def test_results_do_not_depend_on_company(quiet_lm: LM, order: int) -> None:
    asked = requests()
    alone = [quiet_lm.generate(p, params=params, mode=mode) for p, params, mode in asked]  # type: ignore[arg-type]
    places = list(range(len(asked)))
    random.Random(order).shuffle(places)
    with Engine(quiet_lm) as engine:
        tickets = {
            place: engine.submit(streaming(*asked[place]), client=str(place % 3))
            for place in places
        }
        for place, ticket in tickets.items():
            *_, last = ticket
            assert isinstance(last, Done)
            assert last.result.token_ids == alone[place].token_ids
            assert last.result.logprobs == alone[place].logprobs
            assert last.result.text == alone[place].text
        assert engine.stats.finished == len(asked)


def test_every_kind_of_request_goes_together(quiet_lm: LM) -> None:
    state, questions = "Look: a small red circle at the top.", {"red": YesNo("Is it red?")}
    gap = Params(seed=4)
    decided = quiet_lm.decide(state, questions)["red"]
    filled = quiet_lm.infill("def add(a, b):\n    return ", "\n", params=gap).text
    edited = quiet_lm.edit("a red circle", (2, 5), params=gap).text
    score = quiet_lm.score("a red circle").sum
    with Engine(quiet_lm) as engine:
        tickets = [
            engine.submit(lambda lm: [lm.decide(state, questions)["red"]]),
            engine.submit(
                lambda lm: [lm.infill("def add(a, b):\n    return ", "\n", params=gap).text]
            ),
            engine.submit(lambda lm: [lm.edit("a red circle", (2, 5), params=gap).text]),
            engine.submit(lambda lm: [lm.score("a red circle").sum]),
        ]
        assert [next(iter(ticket)) for ticket in tickets] == [decided, filled, edited, score]


def test_errors_of_a_request_are_its_own(quiet_lm: LM) -> None:
    def broken(lm: LM) -> Iterator[object]:
        yield from lm.stream(PROMPT, params=Params(seed=1))
        raise ZeroDivisionError

    with Engine(quiet_lm) as engine:
        bad = engine.submit(lambda lm: lm.stream(PROMPT * 4000))
        worse = engine.submit(broken)
        wrong = engine.submit(lambda lm: [Params(max_tokens=0)])
        good = engine.submit(streaming(PROMPT, Params(seed=2)))
        with pytest.raises(ContextLengthError):
            list(bad)
        with pytest.raises(ZeroDivisionError):
            list(worse)
        with pytest.raises(ParameterError):
            list(wrong)
        assert ids_of(good)
        assert engine.stats.failed == 3


def test_cancelling_takes_at_most_one_pass(quiet_lm: LM) -> None:
    with Engine(quiet_lm) as engine:
        other = engine.submit(long)
        ticket = engine.submit(long)
        values = iter(ticket)
        next(values)
        ticket.cancel("enough")
        before = engine.stats.passes
        with pytest.raises(RequestCancelledError, match="enough"):
            list(values)
        assert engine.stats.passes - before <= 2  # one may have been under way
        other.cancel()
        with pytest.raises(RequestCancelledError):
            list(other)
        assert engine.stats.pages_in_use == engine.stats.cache_pages


def test_a_request_that_waits_is_cancelled_too(quiet_lm: LM) -> None:
    with Engine(quiet_lm, limits=Limits(active=1)) as engine:
        first, second = engine.submit(long), engine.submit(long)
        second.cancel("never mind")
        with pytest.raises(RequestCancelledError, match="never mind"):
            list(second)
        assert second.times.started is None
        first.cancel()


def test_a_deadline_ends_what_runs_and_what_waits(quiet_lm: LM) -> None:
    with Engine(quiet_lm, limits=Limits(active=1)) as engine:
        running = engine.submit(long, deadline=0.2)
        waiting = engine.submit(long, deadline=0.1)
        for ticket in (running, waiting):
            with pytest.raises(DeadlineError, match=r"within its 0\.[12] s"):
                list(ticket)


def test_overload_is_refused_at_once_and_what_was_accepted_is_served(quiet_lm: LM) -> None:
    limits = Limits(active=1, queue=2, per_client=2)
    with Engine(quiet_lm, limits=limits) as engine:
        works = streaming(PROMPT, Params(seed=1))
        accepted = [engine.submit(works, client=client) for client in "aab"]
        with pytest.raises(OverloadedError, match="as many as one may") as refusal:
            engine.submit(works, client="a")
        assert refusal.value.retry_after >= 1
        with pytest.raises(OverloadedError, match="as many as may"):
            engine.submit(works, client="c")
        assert len({ids_of(ticket) for ticket in accepted}) == 1
        assert engine.stats.refused == 2


def test_stopping_drains_then_cancels_with_a_reason(quiet_lm: LM) -> None:
    engine = Engine(quiet_lm)
    engine.start()
    short = engine.submit(streaming(PROMPT, Params(seed=1, max_tokens=8)))
    endless = [engine.submit(long) for _ in range(3)]
    stopper = threading.Thread(target=engine.stop, kwargs={"drain": 0.4})
    stopper.start()
    time.sleep(0.05)
    with pytest.raises(StoppedError, match="takes no requests"):
        engine.submit(long)
    assert ids_of(short)
    for ticket in endless:
        with pytest.raises(StoppedError, match="could not finish"):
            list(ticket)
    stopper.join()
    assert not engine.alive


def test_an_engine_starts_once(quiet_lm: LM) -> None:
    with Engine(quiet_lm) as engine, pytest.raises(StoppedError):
        engine.start()
    with pytest.raises(StoppedError):
        engine.submit(long)


def test_what_is_told_comes_in_order_and_ends_once(quiet_lm: LM) -> None:
    told: list[Told] = []
    over = threading.Event()

    def tell(one: Told) -> None:
        told.append(one)
        if isinstance(one, Ended):
            over.set()

    with Engine(quiet_lm) as engine:
        engine.submit(lambda lm: range(5), tell=tell)
        assert over.wait(10)
    assert told == [*(Item(n) for n in range(5)), Ended(None)]


def test_short_requests_pass_long_ones(quiet_lm: LM) -> None:
    """Counted in passes, not seconds."""
    with Engine(quiet_lm) as engine:
        others = [engine.submit(long, client=f"long {i}") for i in range(4)]
        for ticket in others:
            next(iter(ticket))
        while engine.stats.passes < 100:  # so that the others have had many of them
            time.sleep(0.01)
        before = engine.stats.passes
        *_, last = engine.submit(streaming(PROMPT, Params(seed=1)), client="short")
        assert isinstance(last, Done)
        own = last.result.usage.steps + 2
        assert engine.stats.passes - before <= 2 * own + 4
        for ticket in others:
            ticket.cancel()


def test_a_long_prompt_does_not_hold_up_a_canvas(quiet_lm: LM) -> None:
    """Between two steps of a canvas there are at most a few pieces of a prompt."""
    with Engine(quiet_lm) as engine:
        longest = "a b c d " * 2000
        prompt = engine.submit(lambda lm: [lm.score(longest).sum], client="prompt")
        at: list[int] = []

        def watched(lm: LM) -> Iterator[object]:
            for event in lm.stream(PROMPT, params=Params(seed=1)):
                at.append(engine.counters.passes)
                yield event

        list(engine.submit(watched, client="canvas"))
        assert max(later - earlier for earlier, later in itertools.pairwise(at)) <= 3
        prompt.cancel()


@pytest.mark.filterwarnings("ignore:a request's end could not be told")
def test_a_listener_with_a_bug_harms_nobody_else(quiet_lm: LM) -> None:
    def tell(one: Told) -> None:
        raise ZeroDivisionError

    with Engine(quiet_lm) as engine:
        engine.submit(streaming(PROMPT, Params(seed=1)), tell=tell)
        assert ids_of(engine.submit(streaming(PROMPT, Params(seed=1))))
        assert engine.alive
