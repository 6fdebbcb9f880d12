"""A model behind a server: ours says what it took, others need not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.eval.trials.small import sums
from tests.server.conftest import serving

import canvaslm
from canvaslm import LM
from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError, ServingError
from canvaslm.eval.asking import Asking
from canvaslm.eval.run import Plan, suite
from canvaslm.eval.trials.answer import answer
from canvaslm.eval.trials.local import Local
from canvaslm.eval.trials.record import Record
from canvaslm.eval.trials.remote import Remote, choose
from canvaslm.eval.trials.wire import Wire, pause
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings


@pytest.fixture(scope="module")
def lm() -> LM:
    return canvaslm.load()


@pytest.fixture(scope="module")
def url(lm: LM) -> Iterator[str]:
    """Our own server with the embedded model."""
    with Engine(lm) as engine:
        app = create_app(Service(settings=Settings(), engine=engine))
        with serving(app) as server:
            yield f"{server.base_url}/v1"


def decided(record: Record) -> tuple[object, ...]:
    return (
        *record.key,
        record.answer,
        record.correct,
        record.tokens,
        record.steps,
        record.canvases,
    )


@pytest.mark.parametrize("mode", ["diffusion", "one-shot", "ar"])
def test_our_server_gives_the_answers_of_the_model_and_says_what_they_took(
    lm: LM, url: str, mode: Any
) -> None:
    cases = [suite(Plan(task="scenes", n=3, seed=5, mode=mode))]
    here = answer(cases, Local(lm=lm), Asking(mode=mode, seed=5))
    there = answer(cases, Remote.at(url), Asking(mode=mode, seed=5, batch=3))
    assert list(map(decided, there)) == list(map(decided, here))


def test_a_model_that_a_server_does_not_have_is_refused(url: str) -> None:
    assert Remote.at(f"{url}#canvaslm-pocket").model == "canvaslm-pocket"
    with pytest.raises(ParameterError, match="no model 'other'"):
        Remote.at(f"{url}#other")


def test_a_served_adapter_goes_by_its_own_name() -> None:
    listed = {"data": [{"id": name} for name in ("pocket", "pocket:law", "other:law", "pocket:x")]}
    assert choose(listed, "pocket:law", "u") == "pocket:law"
    assert choose(listed, "x", "u") == "pocket:x"
    for name in ("law", "aw", "pocket:"):
        with pytest.raises(ParameterError, match=f"no model '{name}': it has pocket, pocket:law"):
            choose(listed, name, "u")


class Foreign:
    """Another server: it knows nothing of canvases, and does what it is told to."""

    def __init__(self, *, models: int = 1, busy: int = 0, breaks_at: str = "never") -> None:
        self.models, self.busy, self.breaks_at = models, busy, breaks_at
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def reply(self, body: dict[str, Any] | None) -> tuple[int, dict[str, Any] | str]:
        if body is None:
            return 200, {"data": [{"id": f"m{i}"} for i in range(self.models)]}
        with self.lock:
            if self.busy:
                self.busy -= 1
                return 503, {"error": {"message": "busy"}}
            self.bodies.append(body)
        asked = body["messages"][0]["content"]
        if asked.endswith(self.breaks_at):
            return 400, {"error": {"message": "no such sum", "param": None}}
        text = str(10 + int(asked.split("+ ")[1]))
        return 200, {"choices": [{"message": {"content": text}}], "usage": {"completion_tokens": 1}}


@contextmanager
def listening(foreign: Foreign) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: dict[str, Any] | None) -> None:
            foreign.keys.add(self.headers.get("Authorization"))
            with foreign.lock:
                foreign.now += 1
                foreign.most = max(foreign.most, foreign.now)
            status, found = foreign.reply(body)
            with foreign.lock:
                foreign.now -= 1
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_another_server_is_asked_plainly_and_its_silence_is_none() -> None:
    foreign = Foreign(busy=2)
    with listening(foreign) as url:
        found = answer([sums("sums", 9)], Remote.at(url, key="secret"), Asking(seed=3, batch=3))
    assert all(record.correct for record in found)
    assert [record.number for record in found] == list(range(9))
    assert {(record.steps, record.canvases, record.tokens) for record in found} == {(None, None, 1)}
    assert foreign.keys == {"Bearer secret"}
    assert foreign.most <= 3
    assert all(
        body.keys() == {"model", "messages", "max_tokens", "seed"} for body in foreign.bodies
    )
    spent = sum(record.spent for record in found)
    assert spent > 0


def test_what_was_answered_before_a_failure_is_kept_and_not_asked_again() -> None:
    suites, kept = [sums("sums", 6)], list[Record]()
    foreign = Foreign(breaks_at="+ 4")
    with listening(foreign) as url:
        with pytest.raises(ServingError, match="no such sum"):
            answer(suites, Remote.at(url), Asking(), keep=kept.extend)
        assert [record.number for record in kept] == [0, 1, 2, 3]
        foreign.breaks_at, foreign.bodies = "never", []
        whole = answer(suites, Remote.at(url), Asking(), known=kept)
    assert len(foreign.bodies) == 2
    assert whole[:4] == kept


def test_what_is_no_such_server_is_said() -> None:
    for url in ("ftp://host/v1", "http://", "http://host:x/v1", "http://[", "host:80/v1"):
        with pytest.raises(ParameterError, match=r"URL|expected a server"):
            Remote.at(url)
    with pytest.raises(ServingError, match="GET /models failed"):
        Remote.at("http://127.0.0.1:9/v1")
    with listening(Foreign(models=2)) as url:
        with pytest.raises(ParameterError, match=r"2 models.*m0, m1"):
            Remote.at(url)
        assert Remote.at(f"{url}#m1").model == "m1"
    broken = Foreign()
    broken.reply = lambda body: (200, "x")  # type: ignore[method-assign]
    with listening(broken) as url, pytest.raises(ServingError, match="no JSON object"):
        Remote.at(url)


def test_a_server_that_stays_busy_is_given_up_with_its_own_words() -> None:
    slept: list[float] = []
    with listening(Foreign(busy=99)) as url:
        wire = Wire(**{**vars(Wire.to(url)), "sleep": slept.append})
        body = {"messages": [{"content": "1 + 1"}]}
        with pytest.raises(ServingError, match="503: busy"):
            wire.ask("POST", "/chat/completions", body)
    assert slept == [0.0] * 7


def test_pauses_grow_and_are_bounded() -> None:
    assert pause("2.5", 1) == 2.5
    assert pause("soon", 1) == pause(None, 1) == 1
    assert pause(None, 2) == 2
    assert pause("3600", 1) == pause(None, 20) == 30
