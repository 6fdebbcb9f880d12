"""Streams: events arrive whole, errors are told, nobody is left running when the reader leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from tests.server.conftest import Server, serving

from canvaslm.engine.events import Draft
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.serving.ticket import Ended, Item
from canvaslm.errors import ParameterError, StoppedError
from canvaslm.server.app import create_app
from canvaslm.server.service import BACKLOG, Caller, CallerDep, Running, Service, ServiceDep
from canvaslm.server.settings import Settings
from canvaslm.server.sse import Event, EventStream, Sent, encode


def forever(lm: LM) -> Iterator[object]:
    """Text until somebody stops it."""
    while True:
        yield from lm.stream("a red circle", params=Params(max_tokens=256, seed=1))


@pytest.fixture(scope="module")
def streams(engine: Engine) -> Iterator[Server]:
    """Endpoints that stream in every way."""
    app = create_app(Service(settings=Settings(), engine=engine))

    async def told(running: Running) -> AsyncIterator[Sent]:
        async for value in running.values():
            yield {"kind": type(value).__name__}

    @app.get("/two")
    async def two() -> EventStream:
        async def events() -> AsyncIterator[Sent]:
            yield {"text": "a\u2028b\nc"}
            yield Event(name="end", data={"n": 1})

        return EventStream(events())

    @app.get("/silent")
    async def silent() -> EventStream:
        async def events() -> AsyncIterator[Sent]:
            await asyncio.sleep(0.35)
            yield {"n": 1}

        return EventStream(events(), ping=0.1, done=False)

    @app.get("/midway")
    async def midway() -> EventStream:
        async def events() -> AsyncIterator[Sent]:
            yield {"n": 1}
            raise ParameterError("seed must be small, got 9")

        return EventStream(events())

    @app.get("/long")
    async def long(service: ServiceDep, caller: CallerDep) -> EventStream:
        return EventStream(told(await service.begun(forever, caller)))

    @app.get("/whole")
    async def whole(service: ServiceDep, caller: CallerDep) -> int:
        return len(await service.gather(forever, caller))

    @app.get("/refused")
    async def refused(service: ServiceDep, caller: CallerDep) -> EventStream:
        bad = await service.begun(lambda lm: lm.stream("x", params=Params(n=2)), caller)
        return EventStream(told(bad))

    with serving(app) as server:
        yield server


def test_events_and_their_end(streams: Server) -> None:
    with streams.client() as client:
        got = client.get("/two")
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-accel-buffering"] == "no"
    assert got.headers["cache-control"] == "no-store"
    assert got.text == (
        'data: {"text":"a\\u2028b\\nc"}\n\nevent: end\ndata: {"n":1}\n\ndata: [DONE]\n\n'
    )


def test_a_silent_stream_says_that_it_lives(streams: Server) -> None:
    with streams.client() as client:
        got = client.get("/silent").text
    assert got.count(": still at work\n\n") in (2, 3)
    assert got.endswith('data: {"n":1}\n\n')


def test_an_error_midway_is_told_and_is_the_end(streams: Server) -> None:
    with streams.client() as client:
        got = client.get("/midway")
    events = got.text.strip().split("\n\n")
    assert got.status_code == 200
    assert len(events) == 2
    error = json.loads(events[1].removeprefix("data: "))["error"]
    assert (error["param"], error["type"]) == ("seed", "invalid_request_error")


def test_what_is_wrong_from_the_start_has_its_status(streams: Server) -> None:
    with streams.client() as client:
        got = client.get("/refused")
    assert got.status_code == 400
    assert "data:" not in got.text


def wait_until_idle(engine: Engine, *, within: float = 5.0) -> None:
    async def look() -> None:
        async with asyncio.timeout(within):
            while engine.stats.active or engine.stats.waiting:
                await asyncio.sleep(0.02)

    asyncio.run(look())


def test_leaving_a_stream_cancels_it(streams: Server, engine: Engine) -> None:
    with streams.client() as client, client.stream("GET", "/long") as got:
        sent = got.iter_raw()  # kept: the response ends with its iterator
        next(sent)
        assert engine.stats.active == 1
    wait_until_idle(engine)


def test_leaving_before_an_answer_cancels_it(streams: Server, engine: Engine) -> None:
    with streams.client() as client, pytest.raises(httpx.ReadTimeout):
        client.get("/whole", timeout=0.5)
    wait_until_idle(engine)
    assert not streams.app.state.service.running


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans()))
def test_an_event_is_one_line_whatever_it_says(data: dict[str, object]) -> None:
    sent = encode(data).decode("ascii")
    assert sent.endswith("\n\n")
    assert len(sent.splitlines()) == 2
    assert json.loads(sent.removeprefix("data: ")) == data


def draft(step: int, canvas: int = 0) -> Draft:
    return Draft(canvas=canvas, step=step, token_ids=[], entropy=[], accepted=[], noisy_ids=[])


def test_a_slow_reader_misses_drafts_and_no_text() -> None:
    async def read() -> list[object]:
        running = Running()
        for step in range(BACKLOG * 3):
            running.tell(Item(draft(step)))
        for text in ("a", "b"):
            running.tell(Item(text))
            for step in range(50):
                running.tell(Item(draft(step)))
        running.tell(Ended())
        await asyncio.sleep(0)
        return [value async for value in running.values()]

    values = asyncio.run(read())
    assert len(values) == BACKLOG + 4
    assert [value for value in values if isinstance(value, str)] == ["a", "b"]
    assert values[BACKLOG - 1] == draft(BACKLOG * 3 - 1)
    assert values[-1] == draft(49)


def test_a_client_that_has_left_before_its_turn_is_not_served(engine: Engine) -> None:
    async def ask() -> list[object]:
        service = Service(settings=Settings(), engine=engine)
        caller = Caller(id="x")
        caller.presence.leave()
        return await service.gather(forever, caller)

    with pytest.raises(Exception, match="client went away"):
        asyncio.run(ask())


def test_an_application_without_a_model_says_so() -> None:
    app: FastAPI = create_app(Service(settings=Settings()))
    with serving(app) as server, server.client() as client:
        assert client.get("/health").json() == {"status": "loading"}
        for path in ("/ready", "/v1/models"):
            got = client.get(path)
            assert (got.status_code, got.json()["error"]["code"]) == (503, "loading")
            assert int(got.headers["retry-after"]) >= 1
        assert client.get("/metrics").text.count("canvaslm_ready 0.0") == 1


def test_an_engine_that_has_died_is_told_by_the_probes_and_ends_what_ran(lm: LM) -> None:
    service = Service(settings=Settings(), engine=Engine(lm))  # never started
    with serving(create_app(service)) as server, server.client() as client:
        for path in ("/health", "/ready"):
            got = client.get(path)
            assert (got.status_code, got.json()["error"]["code"]) == (503, "failed")
        asked = {"messages": [{"role": "user", "content": "hello"}]}
        got = client.post("/v1/chat/completions", json=asked)
        assert (got.status_code, got.json()["error"]["code"]) == (503, "stopping")

    async def ask() -> None:
        running = Running()
        service.running.add(running)
        service.abandon(StoppedError("the engine has failed"))
        async with asyncio.timeout(5):
            await running.begin()

    with pytest.raises(StoppedError, match="has failed"):
        asyncio.run(ask())
