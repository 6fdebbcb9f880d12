"""Closed-loop clients of a server: each asks again as soon as it has its answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from serve_process import Process
from serve_wire import Address, Cut, Wire, connected, request_of

from canvaslm import tasks

Json = dict[str, Any]
Bodies = Callable[[int], Iterator[tuple[str, Json]]]
"""Path and body of what client number n asks, one after another."""
ENDS = {"1": -100, "6": -100}
"""Bias against the embedded model's closing tokens: an answer goes on to its bound."""


def key_of(client: int) -> str:
    """A client's API key: shares are by key."""
    return f"client-{client:04d}"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One request, in seconds of the monotonic clock."""

    client: int
    status: int
    begun: float
    first: float
    ended: float
    tokens: int = 0
    steps: int = 0


@dataclass(kw_only=True)
class Crowd:
    """What clients have had answered so far, and how often something else happened."""

    address: Address
    answered: list[Answered] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    async def client(self, number: int, bodies: Iterator[tuple[str, Json]]) -> None:
        """Ask until cancelled, on one connection as long as that holds."""
        while True:
            with suppress(OSError, Cut):
                async with connected(self.address) as wire:
                    for path, body in bodies:
                        self.note(await one(wire, self.address, number, path, body))
            self.count("connection")
            await asyncio.sleep(0.05)

    def note(self, found: Answered) -> None:
        if found.status == 200:
            self.answered.append(found)
        else:
            self.count(str(found.status))

    def count(self, name: str) -> None:
        self.failed[name] = self.failed.get(name, 0) + 1


async def one(wire: Wire, address: Address, client: int, path: str, body: Json) -> Answered:
    """One request with its times; of what does not stream the first text is the end."""
    begun, first = time.monotonic(), 0.0
    usage: Json = {}
    sent = json.dumps(body).encode()
    await wire.send(request_of(address, "POST", path, sent, key=key_of(client)))
    if wire.streams:
        async for event in wire.events():
            usage = (event or {}).get("usage") or usage
            if not first and event and says_something(event):
                first = time.monotonic()
    else:
        found = json.loads(await wire.body())
        usage = found.get("usage") or {}
    ended = time.monotonic()
    return Answered(
        client=client,
        status=wire.status,
        begun=begun,
        first=first or ended,
        ended=ended,
        tokens=usage.get("completion_tokens", 0),
        steps=usage.get("steps", 0),
    )


def says_something(event: Json) -> bool:
    choices = event.get("choices")
    return bool(choices and choices[0]["delta"].get("content"))


def scenes(*, mode: str = "diffusion", stream: bool = True, max_tokens: int = 256) -> Bodies:
    """Drawings to make; no two requests are alike."""

    def bodies(client: int) -> Iterator[tuple[str, Json]]:
        task, rng = tasks.get("scenes"), random.Random(client)
        for count in itertools.count():
            prompt = task.sample(rng, split="test", bin=task.bins[count % len(task.bins)]).prompt
            body = {
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": max_tokens,
                "seed": rng.randrange(1 << 30),
                "mode": mode,
            }
            if stream:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
            yield "/v1/chat/completions", body

    return bodies


def long(*, tokens: int = 1024) -> Bodies:
    """Answers of several canvases, each of which takes all its steps."""

    def bodies(client: int) -> Iterator[tuple[str, Json]]:
        for path, body in scenes(max_tokens=tokens)(client):
            yield path, body | {"logit_bias": ENDS}

    return bodies


def decisions() -> Bodies:
    """A question with a few options about a short text."""

    def bodies(client: int) -> Iterator[tuple[str, Json]]:
        task, rng = tasks.get("scenes"), random.Random(client)
        question = {
            "type": "choice",
            "instructions": "Which colour is asked for?",
            "choices": [{"value": name} for name in ("red", "green", "blue", "yellow")],
        }
        while True:
            text = task.sample(rng, split="test", bin=task.bins[0]).prompt
            yield "/v1/decisions", {"input": text, "questions": [question]}

    return bodies


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Some of them, in milliseconds."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(1e3 * ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "most": at(1), "count": len(ordered)}


def fairness(shares: Sequence[float]) -> dict[str, float]:
    """Jain's index, which is 1 where all have the same, and the least over the most."""
    squares = len(shares) * sum(share**2 for share in shares)
    return {
        "jain": round(sum(shares) ** 2 / squares, 4) if squares else 0.0,
        "least_over_most": round(min(shares) / max(shares), 4) if max(shares) else 0.0,
    }


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a number of clients got in a stretch of time."""

    clients: int
    seconds: float
    tokens_per_second: float
    requests_per_second: float
    steps_per_second: float
    first_text_ms: dict[str, float] | None
    request_ms: dict[str, float] | None
    fairness: dict[str, float]
    failed: dict[str, int]
    server_cpu_seconds: float
    cpu_ms_per_token: float | None
    cores_busy: float
    clients_cpu_seconds: float
    mean_rows: float | None = None

    @property
    def json(self) -> Json:
        return asdict(self)


async def load(
    process: Process,
    bodies: Bodies,
    *,
    clients: int,
    seconds: float,
    warm: float,
    ours: bool = True,
) -> Loaded:
    """So many clients for so long, after a while that does not count."""
    crowd = Crowd(address=process.address)
    work = [asyncio.create_task(crowd.client(n, bodies(n))) for n in range(clients)]
    await asyncio.sleep(warm)
    crowd.failed.clear()
    before = await moment(process, ours=ours)
    await asyncio.sleep(seconds)
    after = await moment(process, ours=ours)
    await gone(work)
    if ours and not await process.idle(key_of(0)):
        raise RuntimeError("requests were still at work a minute after their clients had gone")
    return summary(crowd, before, after, clients=clients)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A point in time, and what had been used and done until then."""

    at: float
    server: float
    clients: float
    passes: float = 0
    rows: float = 0


async def moment(process: Process, *, ours: bool) -> Moment:
    numbers = await process.metrics(key_of(0)) if ours else {}
    return Moment(
        at=time.monotonic(),
        server=process.seconds(),
        clients=time.process_time(),
        passes=numbers.get("canvaslm_passes_total", 0),
        rows=numbers.get("canvaslm_pass_rows_total", 0),
    )


def summary(crowd: Crowd, before: Moment, after: Moment, *, clients: int) -> Loaded:
    """What ended between two moments."""
    found = [one for one in crowd.answered if before.at <= one.ended <= after.at]
    tokens, elapsed = sum(one.tokens for one in found), after.at - before.at
    shares = [sum(one.tokens for one in found if one.client == n) for n in range(clients)]
    cpu, passes = after.server - before.server, after.passes - before.passes
    return Loaded(
        clients=clients,
        seconds=round(elapsed, 2),
        tokens_per_second=round(tokens / elapsed, 2),
        requests_per_second=round(len(found) / elapsed, 3),
        steps_per_second=round(sum(one.steps for one in found) / elapsed, 2),
        first_text_ms=percentiles([one.first - one.begun for one in found]),
        request_ms=percentiles([one.ended - one.begun for one in found]),
        fairness=fairness(shares),
        failed=crowd.failed,
        server_cpu_seconds=round(cpu, 2),
        cpu_ms_per_token=round(1e3 * cpu / tokens, 3) if tokens else None,
        cores_busy=round(cpu / elapsed, 2),
        clients_cpu_seconds=round(after.clients - before.clients, 2),
        mean_rows=round((after.rows - before.rows) / passes, 2) if passes else None,
    )


async def gone(work: Sequence[asyncio.Task[None]]) -> None:
    """Cancel clients, whose connections end with them."""
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
