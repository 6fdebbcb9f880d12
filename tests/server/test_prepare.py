"""Work on threads: few at a time, fair, bounded in time, given up with whoever asked for it."""

import asyncio
import threading
import time

import httpx
import pytest
from tests.server.conftest import Server

from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import OverloadedError, RequestCancelledError
from canvaslm.server.errors import ApiError
from canvaslm.server.prepare import Lane
from canvaslm.server.service import Caller, Service
from canvaslm.server.settings import Settings

ASK = "/v1/chat/completions"


def busy() -> None:
    while True:
        sum(range(1000))


def chat(**more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, **more}


def test_it_runs_few_at_a_time_on_other_threads() -> None:
    most, inside, lock = 0, 0, threading.Lock()

    def work() -> str:
        nonlocal most, inside
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return threading.current_thread().name

    async def ask() -> list[str]:
        lane = Lane(2, most=64)
        return await asyncio.gather(*(lane.run(work, client="a") for _ in range(6)))

    assert threading.current_thread().name not in asyncio.run(ask())
    assert most == 2


def test_errors_come_out() -> None:
    async def ask() -> None:
        await Lane(1, most=1).run(lambda: int("x"), client="a")

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(ask())


def test_clients_take_turns() -> None:
    order: list[str] = []

    async def ask() -> None:
        lane = Lane(1, most=64)

        def run(client: str) -> asyncio.Future[None]:
            return asyncio.ensure_future(lane.run(lambda: order.append(client), client=client))

        many = [run("many") for _ in range(9)]
        await asyncio.sleep(0)
        await asyncio.gather(run("one"), *many)

    asyncio.run(ask())
    assert order.index("one") <= 2
    assert order.count("many") == 9


def test_one_client_cannot_fill_the_queue() -> None:
    async def ask() -> None:
        lane, go = Lane(1, most=2), threading.Event()
        waiting = [asyncio.ensure_future(lane.run(go.wait, client="a")) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="wait to be made ready"):
            await lane.run(go.wait, client="a")
        other = asyncio.ensure_future(lane.run(go.wait, client="b"))
        go.set()
        assert await asyncio.gather(*waiting, other) == [True] * 4

    asyncio.run(ask())


def test_what_takes_too_long_is_interrupted_and_its_thread_is_free_again() -> None:
    async def ask() -> str:
        lane = Lane(1, most=2, seconds=0.1)
        with pytest.raises(ApiError, match=r"more than 0\.1 seconds") as told:
            await lane.run(busy, client="a")
        assert (told.value.status, told.value.code) == (400, "too_complex")
        async with asyncio.timeout(5):
            return await lane.run(lambda: "free", client="a")

    assert asyncio.run(ask()) == "free"


def test_one_who_gives_up_leaves_the_queue() -> None:
    async def ask() -> str:
        lane, go = Lane(1, most=9), threading.Event()
        first = asyncio.ensure_future(lane.run(go.wait, client="a"))
        second = asyncio.ensure_future(lane.run(busy, client="a"))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        go.set()
        await first
        return await lane.run(lambda: "free", client="a")

    assert asyncio.run(ask()) == "free"


def test_a_client_that_goes_away_takes_its_work_along(engine: Engine) -> None:
    async def ask() -> str:
        service = Service(settings=Settings(), engine=engine)
        caller = Caller(id="x")
        asyncio.get_running_loop().call_later(0.05, caller.presence.leave)
        with pytest.raises(RequestCancelledError):
            await service.prepare(busy, caller, heavy=True)
        async with asyncio.timeout(5):
            return await service.prepare(lambda: "free", Caller(id="y"), heavy=True)

    assert asyncio.run(ask()) == "free"


def test_hard_constraints_do_not_hold_up_plain_requests(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one place for those is taken."""
    service: Service = server.app.state.service
    monkeypatch.setattr(service, "_heavy", Lane(0, most=0))
    assert client.post(ASK, json=chat()).status_code == 200
    assert client.post(ASK, json=chat(regex="a")).status_code == 429


@pytest.mark.parametrize(
    ("path", "more", "param"),
    [
        (ASK, {"regex": "a{1,100000}"}, "regex"),
        (ASK, {"grammar": "start: start"}, "grammar"),
        ("/v1/completions", {"prompt": "a", "regex": "a{1,100000}"}, "regex"),
        ("/v1/fim/completions", {"prompt": "a", "regex": "a{1,100000}"}, "regex"),
    ],
)
def test_what_is_too_hard_is_named(
    client: httpx.Client, path: str, more: dict[str, object], param: str
) -> None:
    body = chat(**more) if path == ASK else more
    got = client.post(path, json=body)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)


def test_an_automaton_that_passes_would_walk_for_long_is_refused(client: httpx.Client) -> None:
    got = client.post(ASK, json=chat(regex="(.*[n-zA-M0-4].{9})|x"))
    error = got.json()["error"]
    assert (got.status_code, error["param"], error["code"]) == (400, "regex", "invalid_constraint")
    assert "moves over the vocabulary" in error["message"]


@pytest.mark.parametrize("name", ["minItems", "maxItems", "minLength", "maxLength"])
def test_a_huge_count_in_a_schema_is_refused_at_once(client: httpx.Client, name: str) -> None:
    kind = (
        {"type": "array", "items": {"type": "boolean"}} if "Items" in name else {"type": "string"}
    )
    schema = {"name": "x", "schema": {**kind, name: 10**9}}
    begun = time.monotonic()
    got = client.post(
        ASK, json=chat(response_format={"type": "json_schema", "json_schema": schema})
    )
    assert (got.status_code, got.json()["error"]["param"]) == (400, "response_format")
    assert time.monotonic() - begun < 20
