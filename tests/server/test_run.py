"""A server's life as a process: it listens, loads, drains, and ends with a code that says why."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

CHAT = "/v1/chat/completions"
LONG = {
    "messages": [{"role": "user", "content": "a red circle"}],
    "max_tokens": 7000,
    "seed": 3,
    "stream": True,
    "logit_bias": {"1": -100, "106": -100},
}
SHORT = {**LONG, "max_tokens": 512}
COMMAND = (sys.executable, "-m", "canvaslm.cli.app", "serve", "--port", "0")


@dataclass
class Process:
    """A server in a process of its own, and what it says."""

    popen: subprocess.Popen[str]
    said: list[str]
    base_url: str = ""

    def wait_for(self, pattern: str, *, within: float = 30) -> re.Match[str]:
        """The first line that has it."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            for line in self.said:
                if found := re.search(pattern, line):
                    return found
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was never said, but: {self.said}")

    def end(self, number: int) -> None:
        self.popen.send_signal(number)

    def code(self, *, within: float = 20) -> int:
        return self.popen.wait(within)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=30)


@contextmanager
def serve(*options: str, ready: bool = True, **environment: str) -> Iterator[Process]:
    """`canvaslm serve --port 0 OPTIONS`, killed at the end if it is still there."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    popen = subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True, env=env)
    process = Process(popen, [])
    assert popen.stderr is not None
    reading = threading.Thread(target=process.said.extend, args=(popen.stderr,), daemon=True)
    reading.start()
    try:
        process.base_url = process.wait_for(r"listening on (http://\S+)")[1]
        if ready:
            process.wait_for("ready: ")
        yield process
    finally:
        with suppress(ProcessLookupError):
            popen.kill()
        popen.wait()
        reading.join(5)
        popen.stderr.close()


def events(text: str) -> list[dict[str, object]]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def test_sigterm_lets_a_running_answer_end_and_takes_no_other() -> None:
    with serve("--drain", "20") as server, server.client() as client:
        with client.stream("POST", CHAT, json=SHORT) as got:
            pieces = got.iter_text()
            text = next(pieces)
            server.end(signal.SIGTERM)
            server.wait_for("stopping")
            time.sleep(0.3)
            with pytest.raises(httpx.ConnectError), server.client() as other:
                other.get("/health")
            text += "".join(pieces)
        assert text.endswith("data: [DONE]\n\n")
        assert server.code() == 128 + signal.SIGTERM


def test_sigterm_while_it_loads_ends_it() -> None:
    with serve("--quant", "int8", ready=False) as server:
        server.end(signal.SIGTERM)
        assert server.code() == 128 + signal.SIGTERM


def test_after_the_drain_an_answer_is_cut_with_a_reason() -> None:
    with serve("--drain", "0.3") as server, server.client() as client:
        with client.stream("POST", CHAT, json=LONG) as got:
            pieces = got.iter_text()
            text = next(pieces)
            server.end(signal.SIGTERM)
            text += "".join(pieces)
        error = events(text)[-1]["error"]
        assert isinstance(error, dict)
        assert error["code"] == "stopping"
        assert "[DONE]" not in text
        assert server.code() == 128 + signal.SIGTERM


def test_a_request_on_its_way_when_it_stops_is_told_so() -> None:
    with serve() as server, server.client() as client:
        place = (client.base_url.host, client.base_url.port)
        with socket.create_connection(place, 5) as line:
            time.sleep(0.2)
            server.end(signal.SIGTERM)
            server.wait_for("stopping")
            line.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 503")
        assert server.code() == 128 + signal.SIGTERM


def test_a_second_signal_ends_it_at_once() -> None:
    with serve("--drain", "600") as server, server.client() as client:
        with client.stream("POST", CHAT, json=LONG) as got:
            pieces = got.iter_text()
            text = next(pieces)
            server.end(signal.SIGINT)
            server.wait_for("stopping")
            begun = time.monotonic()
            server.end(signal.SIGINT)
            with suppress(httpx.RemoteProtocolError):
                text += "".join(pieces)
        assert server.code() == 130
        assert time.monotonic() - begun < 4
        error = events(text)[-1]["error"]
        assert isinstance(error, dict)
        assert "at once" in error["message"]


def test_sighup_reads_the_keys_anew_all_or_none(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("the-first-key\n")

    def status(key: str) -> int:
        with server.client() as client:
            return client.get("/v1/models", headers={"x-api-key": key}).status_code

    with serve("--api-key-file", str(file), CANVASLM_API_KEYS="one-of-env,two-of-env") as server:
        assert [status(key) for key in ("the-first-key", "two-of-env", "no-key-here")] == [
            *(200, 200, 401)
        ]
        file.write_text("the-second-key\n")
        server.end(signal.SIGHUP)
        server.wait_for("read 3 keys")
        assert [status("the-first-key"), status("the-second-key")] == [401, 200]
        file.write_text("the-third-key\nbad key\n")
        server.end(signal.SIGHUP)
        server.wait_for("the old keys stay")
        assert [status("the-third-key"), status("the-second-key")] == [401, 200]
        server.end(signal.SIGTERM)
        assert server.code() == 143
        assert not any("second-key" in line or "env" in line for line in server.said)
