"""Clients of bench/soak.py: honest ones, and those who leave, err, read slowly or never finish."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve_wire import Address, Cut, Wire, connected, request_of
from soak_requests import Asked, Bad, said, same, streamed

Json = dict[str, Any]
SHOWN = 20
"""Wrong answers that are kept whole."""


@dataclass(kw_only=True)
class Storm:
    """Who asks what of whom, and what has come of it."""

    address: Address
    good: Sequence[Asked]
    bad: Sequence[Bad]
    lone: Mapping[str, Any]
    bound: float  # seconds; a request that takes longer is stuck
    slow: float  # seconds that a slow reader reads a byte a second
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[Json] = field(default_factory=list)
    longest: float = 0.0

    def note(self, kind: str, outcome: str) -> None:
        self.outcomes[kind, outcome] += 1

    def total(self, outcome: str) -> int:
        return sum(count for (_, name), count in self.outcomes.items() if name == outcome)

    def judge(self, asked: Asked, found: Any) -> str:
        """Whether it is what the request gave alone."""
        if same(found, self.lone[asked.id]):
            return "right"
        self.keep(asked, found)
        return "wrong"

    def keep(self, asked: Asked, found: Any) -> None:
        if len(self.wrong) < SHOWN:
            self.wrong.append(
                {"asked": asked.path, "body": asked.body}
                | {"alone": self.lone[asked.id], "here": found}
            )


async def honest(storm: Storm, rng: random.Random, *, key: str) -> None:
    """Ask for something, wait for all of it, compare."""
    asked = rng.choice(storm.good)
    stream = asked.streams and rng.random() < 0.6
    body = asked.sent(stream=stream, events=rng.choice((False, "changes", True)))
    kind, begun = f"{asked.name}{', streamed' if stream else ''}", time.monotonic()
    later = 1.0  # after a failure
    try:
        async with asyncio.timeout(storm.bound), connected(storm.address) as wire:
            await wire.send(request_of(storm.address, "POST", asked.path, body, key=key))
            outcome = await outcome_of(storm, asked, wire)
            later = min(float(wire.headers.get("retry-after", 0)), 3)
    except TimeoutError:
        outcome = "stuck"
    except Cut as cut:
        outcome = "cut" if cut.begun else "closed unanswered"
    except OSError:
        outcome = "no connection"
    storm.longest = max(storm.longest, time.monotonic() - begun)
    storm.note(kind, outcome)
    if later:
        await asyncio.sleep(rng.uniform(0.5, 1) * later)


async def outcome_of(storm: Storm, asked: Asked, wire: Wire) -> str:
    """Of an answer whose head is there."""
    if wire.status != 200:
        found = json.loads(await wire.body())
        known = "message" in found.get("error", {})
        waits = wire.status not in (429, 503) or "retry-after" in wire.headers
        return str(wire.status) if known and waits else f"{wire.status}, not as it should be"
    if not wire.streams:
        return storm.judge(asked, said(asked.path, json.loads(await wire.body())))
    return judge_stream(storm, asked, [event async for event in wire.events()])


def judge_stream(storm: Storm, asked: Asked, events: Sequence[Json | None]) -> str:
    """Right, wrong, or ended by an error event."""
    last = events[-1] if events else None
    if last is not None and (last.get("error") or last.get("type") in ("error", "response.failed")):
        error = last.get("error") or last.get("response", {}).get("error") or last
        # a failed response knows few codes, so that its message has to tell
        stopping = "stop" in error.get("message", "")
        return f"error event: {'stopping' if stopping else error.get('code')}"
    try:
        return storm.judge(asked, streamed(asked.path, events))
    except (ValueError, KeyError) as error:
        storm.keep(asked, f"{type(error).__name__}: {error}")
        return "wrong"


async def leaver(storm: Storm, rng: random.Random, *, key: str) -> None:
    """Go away before the answer is whole, as it may come: in the queue, midway, or too late."""
    asked = rng.choice(storm.good)
    body = asked.sent(stream=asked.streams and rng.random() < 0.7, events=rng.random() < 0.5)
    request = request_of(storm.address, "POST", asked.path, body, key=key)
    try:
        async with asyncio.timeout(rng.random() ** 2 * 2), connected(storm.address) as wire:
            await wire.send(request)
            await wire.body()
            storm.note("leaves", "answered before" if wire.status == 200 else str(wire.status))
    except (TimeoutError, OSError, Cut):
        storm.note("leaves", "left")


async def mistaken(storm: Storm, rng: random.Random, *, key: str) -> None:
    """Ask for what must be refused; a body that is too large may also be cut off."""
    bad = rng.choice(storm.bad)
    request = request_of(storm.address, bad.method, bad.path, bad.sent, key=key)
    try:
        async with asyncio.timeout(storm.bound), connected(storm.address) as wire:
            await wire.send(request)
            found = json.loads(await wire.body())
            named = {"message", "type", "param", "code"} <= found.get("error", {}).keys()
            fits = wire.status in bad.status and named
            crowded = wire.status in (429, 503)
            outcome = str(wire.status) if fits or crowded else f"unexpected {wire.status}"
    except (Cut, OSError):
        outcome = "cut off" if 413 in bad.status else "cut"
    except TimeoutError:
        outcome = "stuck"
    storm.note(f"mistake: {bad.name}", outcome)


async def slow(storm: Storm, rng: random.Random, *, key: str) -> None:
    """Read a byte a second for a while, through a small window; then the rest, or go away."""
    asked = rng.choice([one for one in storm.good if one.path == "/v1/chat/completions"])
    body = asked.sent(stream=True, events=True)
    request = request_of(storm.address, "POST", asked.path, body, key=key)
    loop, got = asyncio.get_running_loop(), b""
    with socket.socket() as link:
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            await loop.sock_connect(link, (storm.address.host, storm.address.port))
            await loop.sock_sendall(link, request)
            until = time.monotonic() + storm.slow
            while time.monotonic() < until:
                got += await asyncio.wait_for(loop.sock_recv(link, 1), storm.bound)
                # a refusal need not be read slowly
                await asyncio.sleep(1 if not got.startswith(b"HTTP/1.1 429") else 0.01)
            if rng.random() < 0.3:
                storm.note("reads slowly", "left")
                return
            async with asyncio.timeout(storm.bound):
                while not got.endswith(b"0\r\n\r\n") and not whole(got):
                    piece = await loop.sock_recv(link, 1 << 16)
                    if not piece:
                        break
                    got += piece
        except TimeoutError:
            storm.note("reads slowly", "stuck")
            return
        except OSError:
            storm.note("reads slowly", "no connection")
            return
    storm.note("reads slowly", await judge_bytes(storm, asked, got))


def whole(got: bytes) -> bool:
    """Whether an answer of known length is all there."""
    head, _, body = got.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False


async def judge_bytes(storm: Storm, asked: Asked, got: bytes) -> str:
    """Of all that came over a socket."""
    reader = asyncio.StreamReader(limit=len(got) + 1)
    reader.feed_data(got)
    reader.feed_eof()
    wire = Wire(reader=reader, writer=None)  # type: ignore[arg-type]  # nothing more is sent
    try:
        await wire.head()
        return await outcome_of(storm, asked, wire)
    except Cut as cut:
        return "cut" if cut.begun else "closed unanswered"


async def half_open(storm: Storm, rng: random.Random, *, key: str) -> None:
    """Send half of a head, or half of a body, and stay until the server has had enough."""
    asked = rng.choice(storm.good)
    request = request_of(storm.address, "POST", asked.path, asked.sent(stream=False), key=key)
    head = request.index(b"\r\n\r\n")
    cut = rng.randrange(head) if rng.random() < 0.5 else rng.randrange(head + 4, len(request))
    try:
        async with asyncio.timeout(storm.bound), connected(storm.address) as wire:
            wire.writer.write(request[:cut])
            await wire.writer.drain()
            answer = await wire.reader.read(1 << 16)
            storm.note("half a request", answer[9:12].decode() if answer else "closed")
    except TimeoutError:
        storm.note("half a request", "kept open")
    except OSError:
        storm.note("half a request", "closed")
