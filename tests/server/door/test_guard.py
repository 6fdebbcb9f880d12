"""The door: what bodies, hosts, origins and ids get through, and which headers go out."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from tests.server.conftest import Server, serving

from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.door.body import deeper, has_body
from canvaslm.server.door.connection import PatientConnection
from canvaslm.server.door.guard import allowed_hosts, is_loopback
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

ASK = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def small(engine: Engine) -> Iterator[Server]:
    """Takes little, and not for long; pages of one origin may ask."""
    settings = Settings(body=2000, read=0.4, origins=("https://friend.example",))
    with serving(create_app(Service(settings=settings, engine=engine))) as server:
        yield server


def refusal(got: httpx.Response) -> tuple[int, str]:
    return got.status_code, got.json()["error"]["code"]


@pytest.mark.parametrize("size", [2001, 10_000, 200_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused_however_it_is_sent(
    small: Server, size: int, chunked: bool
) -> None:
    body = b"x" * size
    content = (body[i : i + 500] for i in range(0, size, 500)) if chunked else body
    with small.client() as client:
        got = client.post(ASK, content=content, headers=JSON)
    assert refusal(got) == (413, "request_too_large")


def test_a_body_that_fits_is_read(small: Server) -> None:
    with small.client() as client:
        got = client.post(ASK, content=b"{" + b" " * 1998 + b"}", headers=JSON)
    assert got.status_code == 400


def test_a_client_that_waits_to_be_told_to_go_on_is_told_at_once(small: Server) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=5) as line:
        line.sendall(
            f"POST {ASK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_is_given_up(small: Server) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=5) as line:
        line.sendall(
            f"POST {ASK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        begun, answer = time.monotonic(), b""
        while piece := line.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in answer
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 1999, "too_deep"),
        (b'{"a":' * 300, "too_deep"),
        (b'{"model": "\\ud800"}', "invalid_text"),
        (b'{"\\udfff": 1}', "invalid_text"),
        (b'{"messages": [', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"max_tokens": ' + b"9" * 1900 + b"}", None),
    ],
)
def test_no_body_breaks_the_server(small: Server, body: bytes, code: str | None) -> None:
    with small.client() as client:
        got = client.post(ASK, content=body, headers=JSON)
    assert got.status_code == 400
    assert code is None or refusal(got) == (400, code)


def test_whole_surrogate_pairs_are_characters(small: Server) -> None:
    with small.client() as client:
        got = client.post(ASK, content=b'{"model": "\\ud83d\\ude00", "messages": []}', headers=JSON)
    assert got.json()["error"]["code"] != "invalid_text"


NESTED = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\ab', max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('"[\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def depth(value: object) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(NESTED, st.integers(0, 6))
def test_depth_is_counted_as_json_nests(value: object, limit: int) -> None:
    assert deeper(json.dumps(value).encode(), than=limit) == (depth(value) > limit)


@given(st.binary(max_size=200))
def test_depth_of_what_is_no_json_is_counted_too(body: bytes) -> None:
    deeper(body, than=3)


def test_depth_takes_time_in_proportion() -> None:
    hostile = b'"\\' * 500_000 + b"[]" * 500_000 + b'"' + b'\\"' * 500_000
    begun = time.perf_counter()
    deeper(hostile, than=100)
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:8000", "LOCALHOST:1"])
def test_a_local_server_goes_by_local_names(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "[", ""])
def test_a_local_server_answers_to_no_other_name(client: httpx.Client, host: str) -> None:
    assert refusal(client.get("/health", headers={"Host": host})) == (403, "host_not_allowed")


def test_which_names_are_taken_follows_the_address() -> None:
    assert allowed_hosts(Settings(host="0.0.0.0")) is None
    named = allowed_hosts(Settings(host="0.0.0.0", hosts=("Box.example",)))
    assert named is not None
    assert {"box.example", "localhost"} <= named
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "10.0.0.1", "x")] == [
        *(True, True, True),
        *(False, False),
    ]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "http://["]
)
def test_pages_of_other_places_may_not_ask(small: Server, origin: str) -> None:
    with small.client() as client:
        got = client.post(ASK, json={}, headers={"Origin": origin})
    assert refusal(got) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in got.headers


def test_its_own_page_may_ask(small: Server) -> None:
    with small.client() as client:
        got = client.post(ASK, json={}, headers={"Origin": small.base_url})
    assert got.status_code == 400


def test_a_named_origin_may_ask_and_sees_errors(small: Server) -> None:
    friend = {"Origin": "https://friend.example"}
    with small.client() as client:
        asked = {**friend, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,content-type"
        assert client.options(ASK, headers=asked).status_code == 200
        got = client.post(ASK, json={}, headers=friend)
        large = client.post(ASK, content=b"x" * 3000, headers=friend)
    assert (got.status_code, large.status_code) == (400, 413)
    for answer in (got, large):
        assert answer.headers["access-control-allow-origin"] == friend["Origin"]


def test_cors_is_closed_unless_told(client: httpx.Client) -> None:
    asked = {"Origin": "https://friend.example", "Access-Control-Request-Method": "POST"}
    got = client.options(ASK, headers=asked)
    assert got.status_code == 405
    assert not [name for name in got.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/nowhere", "/web/../app.py"])
def test_every_answer_has_what_browsers_obey(client: httpx.Client, path: str) -> None:
    got = client.get(path)
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert "'unsafe" not in got.headers["content-security-policy"]
    assert "server" not in got.headers or got.headers["server"] == "uvicorn"


def test_answers_are_not_kept(client: httpx.Client) -> None:
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given_id", ["abc-1.2:3_X", "a" * 64])
def test_a_sane_request_id_is_kept(client: httpx.Client, given_id: str) -> None:
    got = client.get("/nowhere", headers={"X-Request-Id": given_id})
    assert got.headers["x-request-id"] == given_id


@pytest.mark.parametrize("given_id", ["", "a" * 65, "a b", "<script>", "ä"])
def test_another_one_is_replaced(client: httpx.Client, given_id: str) -> None:
    got = client.get("/health", headers=[(b"X-Request-Id", given_id.encode("utf-8"))])
    assert got.headers["x-request-id"].startswith("req-")


def test_too_many_bodies_at_once_are_refused(engine: Engine) -> None:
    from canvaslm.engine.serving.limits import Limits
    from canvaslm.server.door import body as module

    settings = Settings(limits=Limits(active=1, queue=0), read=5.0)
    with serving(create_app(Service(settings=settings, engine=engine))) as server:
        lines = [
            socket.create_connection(("127.0.0.1", server.port)) for _ in range(module.SPARE + 1)
        ]
        head = f"POST {ASK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode()
        for line in lines:
            line.sendall(head)
        time.sleep(0.3)
        with server.client() as client:
            got = client.post(ASK, json={})
            assert client.get("/health").status_code == 200
        for line in lines:
            line.close()
    assert refusal(got) == (429, "overloaded")
    assert got.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "headers", "there"),
    [
        ("GET", [], False),
        ("GET", [(b"content-length", b"0")], False),
        ("GET", [(b"content-length", b"9")], True),
        ("GET", [(b"transfer-encoding", b"chunked")], True),
        ("POST", [], True),
    ],
)
def test_a_body_counts_whatever_the_method(
    method: str, headers: list[tuple[bytes, bytes]], there: bool
) -> None:
    assert has_body({"type": "http", "method": method, "headers": headers}) is there


def test_one_client_cannot_take_all_the_room(engine: Engine) -> None:
    from canvaslm.engine.serving.limits import Limits
    from canvaslm.server.door.body import SPARE

    settings = Settings(limits=Limits(per_client=1), read=5.0, keys=("first-key", "second-key"))
    with serving(create_app(Service(settings=settings, engine=engine))) as server:
        own = "Authorization: Bearer first-key\r\n"
        head = f"POST {ASK} HTTP/1.1\r\nHost: localhost\r\n{own}Content-Length: 9\r\n\r\n"
        lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SPARE + 1)]
        for line in lines:
            line.sendall(head.encode())
        time.sleep(0.3)
        with server.client() as client:
            first = client.post(ASK, json={}, headers={"X-API-Key": "first-key"})
            second = client.post(ASK, json={}, headers={"X-API-Key": "second-key"})
        for line in lines:
            line.close()
    assert refusal(first) == (429, "overloaded")
    assert refusal(second) == (400, "missing_parameter")


def test_a_request_with_two_lengths_is_refused(server: Server) -> None:
    head = f"POST {ASK} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 5) as line:
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1".encode())
        answer = b""
        while piece := line.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"invalid_http" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_half_open_and_broken_connections_do_no_harm(server: Server, client: httpx.Client) -> None:
    starts = (b"POST / HT", b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n")
    with ExitStack() as stack:
        for start in starts * 5:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 5))
            line.sendall(start)
        answer = b""
        while piece := line.recv(4096):
            answer += piece
        assert b"invalid_http" in answer
        assert client.get("/health").status_code == 200


def test_a_head_that_does_not_come_and_a_reader_that_stalls_are_given_up(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientConnection, "head", 0.3)
    monkeypatch.setattr(PatientConnection, "stall", 0.3)

    @app.get("/much")
    async def much() -> Response:
        return Response(b"x" * (32 << 20))

    with serving(app) as server, ExitStack() as stack:
        silent, begun, stalled = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 5))
            for _ in range(3)
        )
        begun.sendall(b"GET /health HTTP/1.1\r\n")
        stalled.sendall(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1)
        for line in (silent, begun):
            with suppress(ConnectionResetError):
                assert line.recv(1) == b""
        taken = 0
        with suppress(ConnectionResetError):
            while piece := stalled.recv(1 << 20):
                taken += len(piece)
        assert taken < 32 << 20
