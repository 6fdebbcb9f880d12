"""A long mixed load on `canvaslm serve`, with all that clients do wrong; every answer is checked.

    python bench/soak.py [--minutes 30] [--clients 24] [--seeds 3] [--json] [--write docs]

First each request is asked alone, twice; later, among many and with random cancels, mistakes,
oversize bodies, slow readers and half-open connections, it must give the same. The server's memory,
files and threads are sampled. At the end the server is stopped under load and started again. Exit
code 1 if anything that must hold does not. --write puts the tables between marks of
DIR/serving.md, and soak.json into DIR/pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from serve_load import key_of
from serve_process import OURS, Process, Seen, served
from serve_wire import ask
from soak_clients import Storm, half_open, honest, leaver, mistaken, slow
from soak_musts import flatness, musts
from soak_page import report, write_pages
from soak_requests import Asked, bad, good, said, same

import canvaslm
from canvaslm import Params
from canvaslm.eval.machine import core_count, cpu_name

Json = dict[str, Any]
BODY = 1 << 20  # bytes
KEYS = 8
LIMITS = ("--max-body", str(BODY), "--max-active", "12", "--max-queue", "12", "--drain", "3")
Client = Callable[..., Awaitable[None]]
CROWD: dict[Client, float] = {honest: 0.72, leaver: 0.16, mistaken: 0.12}


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


async def ask_alone(process: Process, asked: Sequence[Asked]) -> dict[str, Any]:
    """What each request gives when nobody else asks. Raises RuntimeError where twice differs."""
    found: dict[str, Any] = {}
    for one in asked:
        for _ in range(2):
            status, reply = await ask(process.address, one.path, one.body, key=key_of(0))
            if status != 200:
                raise RuntimeError(f"{one.name} was answered with {status}: {reply}")
            answer = said(one.path, reply)
            if not same(found.setdefault(one.id, answer), answer):
                raise RuntimeError(f"{one.name} gave two answers alone: {found[one.id]}, {answer}")
    return found


def agree(asked: Sequence[Asked], lone: Mapping[str, Any]) -> Json:
    """Whether plain chats say what the package says in this process, without a server."""
    lm, right, chats = canvaslm.load(), 0, [one for one in asked if one.name == "chat"]
    for one in chats:
        params = Params(max_tokens=one.body["max_tokens"], seed=one.body["seed"])
        text = lm.generate(one.body["messages"], params=params).text
        right += text == lone[one.id]["choices"][0]["text"]
    return {"asked": len(chats), "right": right}


async def keep_on(
    client: Client, storm: Storm, *, seed: int, until: float, crowd: bool = False
) -> None:
    """One client after another in the same place; of a crowd each is of some kind."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        chosen = rng.choices(list(CROWD), list(CROWD.values()))[0] if crowd else client
        await chosen(storm, rng, key=key_of(rng.randrange(KEYS)))


async def watch(process: Process, seen: list[tuple[float, Seen]], *, every: float) -> None:
    begun = time.monotonic()
    while True:
        seen.append((time.monotonic() - begun, process.look()))
        await asyncio.sleep(every)


async def storm_over(process: Process, storm: Storm, given: argparse.Namespace) -> list[Json]:
    """Everybody at once, for the minutes that were asked for; memory as it was meanwhile."""
    until = time.monotonic() + 60 * given.minutes
    seen: list[tuple[float, Seen]] = []
    every = max(min(5.0, given.minutes / 4), 0.5)
    watching = asyncio.create_task(watch(process, seen, every=every))
    places = [keep_on(honest, storm, seed=n, until=until, crowd=True) for n in range(given.clients)]
    odd = [client for client in (slow, half_open) for _ in range(given.odd)]
    places += [keep_on(client, storm, seed=~n, until=until) for n, client in enumerate(odd)]
    telling = asyncio.create_task(tell(storm, until))
    await asyncio.gather(*places)
    for task in (watching, telling):
        task.cancel()
    await asyncio.gather(watching, telling, return_exceptions=True)
    return [{"at": round(at, 1), **asdict(look)} for at, look in seen]


async def tell(storm: Storm, until: float) -> None:
    while True:
        await asyncio.sleep(30)
        left = max(until - time.monotonic(), 0)
        say(f"{left:.0f} s to go; right {storm.total('right')}, wrong {storm.total('wrong')}")


async def stop_under_load(process: Process, storm: Storm, given: argparse.Namespace) -> Json:
    """SIGTERM while many wait for answers."""
    until = time.monotonic() + 120
    clients = [
        asyncio.create_task(keep_on(honest, storm, seed=1000 + n, until=until))
        for n in range(given.clients)
    ]
    await asyncio.sleep(min(given.minutes * 20, 5))
    process.running.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    code = await process.end()
    seconds = time.monotonic() - begun
    await asyncio.sleep(0.5)
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return {"exit_code": code, "seconds": round(seconds, 2), "outcomes": totals(storm)}


def totals(storm: Storm) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (_, outcome), count in storm.outcomes.items():
        found[outcome] += count
    return dict(found.most_common())


def complaints(process: Process) -> list[str]:
    """Lines of the server's log that it should have had no cause for."""
    lines = process.said.read_text(errors="replace").splitlines()
    return [line[:4000] for line in lines if '"level": "error"' in line or "Traceback" in line]


async def settle(process: Process, before: Seen) -> Json:
    """How the server is once all have gone."""
    await process.idle(key_of(0))
    until = time.monotonic() + 10
    while process.look().files > before.files and time.monotonic() < until:
        await asyncio.sleep(0.2)
    numbers = await process.metrics(key_of(0))
    return {
        "at_work": numbers["canvaslm_active"] + numbers["canvaslm_queue_length"],
        "pages": numbers["canvaslm_pages"],
        "cache_pages": numbers["canvaslm_cache_pages"],
        "evictions": numbers["canvaslm_cache_evictions_total"],
        "mean_rows": numbers["canvaslm_mean_rows"],
        "cache_hit_tokens": numbers["canvaslm_cache_hit_tokens_total"],
        "cache_miss_tokens": numbers["canvaslm_cache_miss_tokens_total"],
        **asdict(process.look()),
    }


async def measure(given: argparse.Namespace) -> Json:
    """The whole course of it: a server's life, and the beginning of the next one's."""
    keys, asked = [key_of(n) for n in range(KEYS)], good(seeds=given.seeds)
    command = (*OURS, *LIMITS)
    found: Json = {
        "machine": cpu_name(),
        "cores": core_count(),
        "threads": torch.get_num_threads(),
        "minutes": given.minutes,
        "clients": given.clients,
        "odd": 2 * given.odd,
    }
    async with served(command, keys=keys) as process:
        say(f"asking {len(asked)} requests alone ...")
        lone = await ask_alone(process, asked)
        found["package"] = agree(asked, lone)
        found |= await live_through(process, asked, lone, given)
    async with served(command, keys=keys) as process:
        found["again"] = await ask_again(process, asked[:10], lone)
    found["musts"] = [asdict(must) for must in musts(found)]
    return found


async def live_through(
    process: Process, asked: Sequence[Asked], lone: Mapping[str, Any], given: argparse.Namespace
) -> Json:
    """The storm, the calm after it, and the stop."""
    storm, ending = (
        Storm(
            address=process.address,
            good=asked,
            bad=bad(largest=BODY),
            lone=lone,
            bound=given.bound,
            slow=given.slow,
        )
        for _ in range(2)
    )
    before, cpu = process.look(), process.seconds()
    say("the storm ...")
    samples = await storm_over(process, storm, given)
    found: Json = {
        "server_cpu_seconds": round(process.seconds() - cpu, 1),
        "before": asdict(before),
        "after": await settle(process, before),
        "samples": samples,
        "memory_growth_percent": round(flatness(samples), 3),
        "outcomes": by_kind(storm),
        "longest_seconds": round(storm.longest, 2),
    }
    say("stopping under load ...")
    found["stopped"] = await stop_under_load(process, ending, given)
    return found | {"wrong": storm.wrong + ending.wrong, "complaints": complaints(process)}


def by_kind(storm: Storm) -> dict[str, dict[str, int]]:
    """Outcomes of each kind of request."""
    found: dict[str, dict[str, int]] = {}
    for (kind, outcome), count in sorted(storm.outcomes.items()):
        found.setdefault(kind, {})[outcome] = count
    return found


async def ask_again(process: Process, asked: Sequence[Asked], lone: Mapping[str, Any]) -> Json:
    """Some of the requests, of a server that has just been started."""
    right = 0
    for one in asked:
        status, reply = await ask(process.address, one.path, one.body, key=key_of(0))
        right += status == 200 and same(said(one.path, reply), lone[one.id])
    return {"asked": len(asked), "right": right}


def main() -> None:
    """Run it, print what came of it, write it where asked; exit code 1 where a must is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=24, help="that ask, leave and err")
    parser.add_argument("--odd", type=int, default=4, help="slow readers, and half-open ones")
    parser.add_argument("--seeds", type=int, default=3, help="of each kind of request")
    parser.add_argument("--bound", type=float, default=180, help="seconds; beyond it is stuck")
    parser.add_argument("--slow", type=float, default=20, help="seconds of a byte each")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    given = parser.parse_args()
    found = asyncio.run(measure(given))
    if given.write is not None:
        write_pages(found, given.write)
    sys.stdout.write((json.dumps(found, indent=1) if given.json else report(found)) + "\n")
    for wrong in found["wrong"][:3]:
        say(json.dumps(wrong, indent=1))
    sys.exit(any(must["held"] is False for must in found["musts"]))


if __name__ == "__main__":
    main()
