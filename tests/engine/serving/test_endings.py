"""How requests end, and what they leave behind, when something goes wrong."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from torch import Tensor

from canvaslm import LM, Params
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.serving.fiber import causes, untied
from canvaslm.engine.serving.limits import Limits
from canvaslm.engine.serving.ticket import Told
from canvaslm.errors import (
    CanvasError,
    ParameterError,
    RequestCancelledError,
    StoppedError,
)

PROMPT = [1, 2, 3]


def long(lm: LM) -> Iterator[object]:
    yield from lm.stream(PROMPT, params=Params(seed=1, max_tokens=150))


def test_an_error_keeps_no_pages_by_way_of_its_causes(lm: LM) -> None:
    def work(lm: LM) -> Iterator[object]:
        stream = lm.stream(PROMPT, params=Params(seed=1, max_tokens=150))
        yield next(stream)
        try:
            raise KeyError
        except KeyError as error:
            raise ParameterError("wrong") from error

    with Engine(lm) as engine:
        with pytest.raises(ParameterError) as raised:
            list(engine.submit(work))
        list(engine.submit(lambda lm: []))  # the first has been seen to
        assert isinstance(raised.value.__cause__, KeyError)
        assert engine.stats.pages_in_use == engine.stats.cache_pages


def test_no_error_in_a_chain_keeps_frames_and_a_bug_keeps_a_note() -> None:
    try:
        try:
            {}["key"]
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError(), error]) from error
    except ExceptionGroup as error:
        made = untied(error)
    assert all(one.__traceback__ is None for one in causes(made))
    assert "test_no_error_in_a_chain" in made.__notes__[0]
    assert len(untied(made).__notes__) == 1


def test_a_request_that_catches_its_end_ends_all_the_same(lm: LM) -> None:
    def stubborn(lm: LM) -> Iterator[object]:
        while True:
            with suppress(CanvasError):
                yield from long(lm)

    with Engine(lm) as engine:
        ticket = engine.submit(stubborn)
        next(iter(ticket))
        ticket.cancel("enough")
        with pytest.raises(RequestCancelledError, match="enough"):
            list(ticket)
        assert list(engine.submit(long))
        assert engine.stats.cancelled == 1


def test_nothing_is_told_after_a_cancel_but_the_end(lm: LM) -> None:
    def talking(lm: LM) -> Iterator[object]:
        try:
            yield from long(lm)
        finally:
            yield "last words"

    with Engine(lm) as engine:
        ticket = engine.submit(talking)
        next(iter(ticket))
        ticket.cancel()
        values: list[object] = []
        with pytest.raises(RequestCancelledError):
            values.extend(ticket)
        assert "last words" not in values


def test_a_listener_with_a_lock_of_its_own_may_hold_it_at_submit(lm: LM) -> None:
    lock = threading.Lock()

    def tell(told: Told) -> None:
        with lock:
            pass

    def come_and_go() -> None:
        for _ in range(200):
            with lock:
                engine.submit(long, tell=tell).cancel()

    with Engine(lm, limits=Limits(active=1, queue=300, per_client=300)) as engine:
        thread = threading.Thread(target=come_and_go, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()


def test_an_engine_that_dies_of_a_bug_ends_all_its_requests(
    lm: LM, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(lm, limits=Limits(active=20))
    engine.start()
    tickets = [engine.submit(long) for _ in range(21)]  # one of them waits
    engine.turns.rank = lambda fiber: 1 / 0  # type: ignore[assignment,return-value]
    for ticket in tickets:
        with pytest.raises(StoppedError, match="a bug"):
            list(ticket)
    engine.stop()
    assert isinstance(engine.error, ZeroDivisionError)
    assert "a bug" in caplog.text
    assert not engine.alive
    assert engine.stats.failed == len(tickets)
    assert engine.stats.active == engine.stats.waiting == 0
    assert lm.pool.in_use == 0


def test_a_pass_that_fails_ends_only_whoever_is_to_blame(lm: LM) -> None:
    encode = lm.network.encode

    def fragile(ids_BN: Tensor, *rest: object) -> Tensor:
        if (ids_BN == 13).any():
            raise RuntimeError("a bad token")
        return encode(ids_BN, *rest)  # type: ignore[arg-type]

    lm.network.encode = fragile  # type: ignore[method-assign]
    prompts = [[i, 20, 30] for i in range(10, 18)] * 3
    params = Params(seed=2, max_tokens=20)
    with Engine(lm) as engine:
        tickets = [
            engine.submit(lambda lm, prompt=prompt: [lm.generate(prompt, params=params)])
            for prompt in prompts
        ]
        for prompt, ticket in zip(prompts, tickets, strict=True):
            if 13 in prompt:
                with pytest.raises(RuntimeError, match="a bad token"):
                    list(ticket)
            else:
                assert list(ticket)


def test_a_ticket_that_is_read_again_says_its_end_again(lm: LM) -> None:
    with Engine(lm) as engine:
        ticket = engine.submit(lambda lm: [1, 2])
        assert list(ticket) == [1, 2]
        assert list(ticket) == []
        told = engine.submit(lambda lm: [1], tell=lambda told: None)
        with pytest.raises(TypeError, match="keeps no values"):
            list(told)


@pytest.mark.parametrize("deadline", [0, -1.0])
def test_a_deadline_is_some_time(lm: LM, deadline: float) -> None:
    with Engine(lm) as engine, pytest.raises(ParameterError, match="deadline"):
        engine.submit(long, deadline=deadline)


def test_an_engine_leaves_the_model_as_it_was(lm: LM) -> None:
    Engine(lm).stop()
    assert lm.pool.known is None
    assert lm.pool.limit is None
    with Engine(lm):
        assert lm.pool.known is not None
    assert lm.pool.known is None
    assert lm.pool.limit is None


def test_a_network_whose_rows_do_not_stand_alone_serves_one_at_a_time(lm: LM) -> None:
    lm.network = lm.model  # type: ignore[assignment]
    params = [Params(seed=seed, max_tokens=40) for seed in range(6)]
    alone = [lm.generate(PROMPT, params=one).token_ids for one in params]
    with Engine(lm) as engine:
        tickets = [
            engine.submit(lambda lm, one=one: [lm.generate(PROMPT, params=one)]) for one in params
        ]
        assert [next(iter(ticket)).token_ids for ticket in tickets] == alone  # type: ignore[attr-defined]
        assert engine.stats.passes == engine.stats.rows
    assert not torch.is_inference_mode_enabled()
