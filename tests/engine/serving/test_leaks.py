"""After any mixture of finished, cancelled and failed requests all pages are free."""

import random
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest

from canvaslm import LM, Done, Params, Result
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.serving.limits import Limits
from canvaslm.engine.serving.ticket import Ticket
from canvaslm.errors import CanvasError, OutOfMemoryError, OverloadedError


class OddError(Exception):
    """A bug in a request."""


def work(seed: int):  # type: ignore[no-untyped-def]
    """Some request: of any kind, length and end."""
    draw = random.Random(seed)
    start, count = draw.randrange(3), draw.randrange(1, 60)
    prompt = [(start * 50 + i) % 290 for i in range(count)]
    params = Params(seed=draw.randrange(5), max_tokens=draw.randrange(1, 40))

    def run(lm: LM) -> Iterator[object]:
        match draw.randrange(5):
            case 0:
                yield from lm.stream(prompt, params=params, mode="ar")
            case 1:
                yield lm.score(prompt).sum
            case 2:
                for event in lm.stream(prompt, params=params):
                    yield event
                    if draw.random() < 0.2:
                        raise OddError
            case 3:
                stream = lm.stream(prompt, params=params)
                yield next(stream)  # and never closed by hand
            case _:
                yield from lm.stream(prompt, params=params)

    return run


def test_ten_thousand_operations_leave_no_page_in_use(lm: LM) -> None:
    draw = random.Random(7)
    tickets: list[Ticket] = []
    ended = 0
    with Engine(lm, limits=Limits(active=9, queue=40, per_client=25)) as engine:
        for number in range(10_000):
            match draw.randrange(16):
                case 0:
                    try:
                        tickets.append(engine.submit(work(number), client=draw.choice("abc")))
                    except OverloadedError:
                        ended += drain(tickets, draw)
                case 1 if tickets:
                    draw.choice(tickets).cancel()
                case 2:
                    assert engine.stats.active <= 9
                case 3 if len(tickets) > 20:
                    ended += drain(tickets, draw)
        while tickets:
            ended += drain(tickets, draw)
        stats = engine.stats
        assert ended == stats.accepted == stats.finished + stats.cancelled + stats.failed
        assert min(stats.finished, stats.cancelled, stats.failed) > 20
        assert stats.pages_in_use == stats.cache_pages
    if lm.pool.known is not None:
        lm.pool.known.clear()
    assert lm.pool.in_use == 0


def drain(tickets: list[Ticket], draw: random.Random) -> int:
    """Wait for some request's end."""
    ticket = tickets.pop(draw.randrange(len(tickets)))
    with suppress(CanvasError, OddError):
        list(ticket)
    return 1


@pytest.mark.parametrize("shown", [False, True])
def test_requests_that_need_each_others_pages_all_come_to_their_end(lm: LM, shown: bool) -> None:
    prompt, params = list(range(2, 100)), Params(seed=1, max_tokens=60)
    alone = (
        list(lm.stream(prompt, params=params)) if shown else [lm.generate(prompt, params=params)]
    )
    with Engine(lm, limits=Limits(pages=3)) as engine:  # one such request needs two
        tickets = [
            engine.submit(
                lambda lm: (
                    lm.stream(prompt, params=params)
                    if shown
                    else [lm.generate(prompt, params=params)]
                )
            )
            for _ in range(6)
        ]
        for ticket in tickets:
            assert summary(ticket) == summary(alone)
        assert engine.stats.finished == 6


def summary(values: Iterable[object]) -> list[object]:
    """What was told, but for how long it took."""
    found: list[object] = []
    for value in values:
        result = value.result if isinstance(value, Done) else value
        found.append(result.token_ids if isinstance(result, Result) else value)
    return found


def test_a_request_that_never_fits_fails_alone(lm: LM) -> None:
    with Engine(lm, limits=Limits(pages=1)) as engine, pytest.raises(OutOfMemoryError):
        list(engine.submit(lambda lm: lm.stream(list(range(90)), params=Params(max_tokens=9))))
