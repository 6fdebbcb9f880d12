"""Load on `canvaslm serve`: speed, waiting and fairness with 1 to 64 clients, over HTTP.

    python bench/serve.py [--clients 1 4 16 64] [--seconds 60] [--only load peer short prefill chat]
        [--json] [--write docs]

The server runs in a process of its own on the loopback; clients ask in a closed loop, each with a
key of its own, so that each is a client to share with. Beside the speed stand ceilings: how fast
the matrix products alone could go, and the processor time that a token costs, which other work on
the machine does not move much. `peer` is transformers on the same weights behind the simplest
possible server (bench/serve_peer.py), in turn with ours. --write puts the tables between the marks
of DIR/serving.md, and serving.json into DIR/pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import torch
from generate import matmul_speed, prompts_of, step_flops
from serve_load import (
    ENDS,
    Crowd,
    Loaded,
    decisions,
    gone,
    key_of,
    load,
    long,
    percentiles,
    scenes,
)
from serve_page import report, write_pages
from serve_process import OURS, PEER, Process, served
from serve_wire import ask, connected, request_of

import canvaslm
from canvaslm import LM, Params
from canvaslm.eval.machine import core_count, cpu_name

Json = dict[str, Any]
MOST = 64
BESIDE = 16
"""Clients with long requests beside a short one."""
MODES = {"diffusion": "diffusion", "left to right": "ar"}


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def probe(lm: LM, *, rounds: int = 3) -> Json:
    """A lone step on one thread and on all, and how fast matrix products could be."""
    threads, found = torch.get_num_threads(), {}
    prompts = prompts_of(lm, "scenes", count=4, tokens=0)
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        seconds = []
        for turn in range(rounds + 1):
            usages = [
                lm.generate(p, params=Params(max_tokens=256, seed=turn)).usage for p in prompts
            ]
            seconds.append(sum(u.seconds for u in usages) / sum(u.steps for u in usages))
        found[str(count)] = {
            "ms_per_step": round(1e3 * statistics.median(seconds[1:]), 2),
            "flops_per_second": matmul_speed(lm.placement.device, lm.placement.dtype),
        }
    torch.set_num_threads(threads)
    length = round(statistics.mean(len(prompt) for prompt in prompts))
    return {"threads": found, "flops_per_step": step_flops(lm.config, length)}


async def measure_load(process: Process, given: argparse.Namespace) -> Json:
    """Each mode with each number of clients."""
    found: Json = {}
    for name, mode in MODES.items():
        found[name] = []
        for clients in given.clients:
            one = await load(
                process,
                scenes(mode=mode),
                clients=clients,
                seconds=given.seconds,
                warm=given.warm,
            )
            say(f"{name}, {clients} clients: {said(one)}")
            found[name].append(one.json)
    return found


async def measure_peer(process: Process, given: argparse.Namespace) -> Json:
    """transformers behind a simple server, in turn with ours; neither works beside the other."""
    found: Json = {"ours": [], "peer": []}
    async with served(PEER) as other:
        path, body = next(scenes(stream=False)(0))
        await ask(other.address, path, body)  # its first answer takes seconds
        for clients in [count for count in given.clients if count <= 16]:
            for name, which in (("ours", process), ("peer", other)):
                one = await load(
                    which,
                    scenes(stream=name == "ours"),
                    clients=clients,
                    seconds=given.seconds,
                    warm=given.warm,
                    ours=name == "ours",
                )
                say(f"{name}, {clients} clients: {said(one)}")
                found[name].append(one.json)
                if name == "peer":
                    await drained(other)
    return found


async def drained(peer: Process) -> None:
    """The peer goes on for clients that have left: wait until it works no more."""
    before = -1.0
    while (now := peer.seconds()) - before > 0.2:
        before = now
        await asyncio.sleep(1)


def said(one: Loaded) -> str:
    last = one.request_ms["p95"] if one.request_ms else float("nan")
    return (
        f"{one.tokens_per_second:.0f} tokens/s, {one.requests_per_second:.2f} requests/s, p95 "
        f"{last:.0f} ms, {one.cores_busy:.2f} cores busy"
    )


async def measure_short(process: Process, given: argparse.Namespace) -> Json:
    """A client with short requests, alone and beside many with long ones."""
    kinds = {"a scene": scenes(stream=False), "a decision": decisions()}
    found: Json = {name: {} for name in kinds}

    async def ask_for(label: str) -> None:
        for name, bodies in kinds.items():
            crowd = Crowd(address=process.address)
            work = asyncio.create_task(crowd.client(MOST - 1, bodies(MOST - 1)))
            await asyncio.sleep(given.seconds)
            await gone([work])
            found[name][label] = percentiles([one.ended - one.begun for one in crowd.answered])
            say(f"{name}, {label}: {found[name][label]}")

    await ask_for("alone")
    crowd = Crowd(address=process.address)
    work = [asyncio.create_task(crowd.client(n, long()(n))) for n in range(BESIDE)]
    await asyncio.sleep(given.warm)
    await ask_for("among long ones")
    await gone(work)
    await process.idle(key_of(0))
    for times in found.values():
        if all(times.values()):
            times["p95_ratio"] = round(times["among long ones"]["p95"] / times["alone"]["p95"], 2)
    return {"beside": BESIDE, "tokens_of_long": 1024, "kinds": found}


async def measure_prefill(process: Process, given: argparse.Namespace, lm: LM) -> Json:
    """Time from draft to draft of a canvas, while another client's prompt is the whole context."""
    gaps: list[tuple[float, float]] = []
    busy: list[tuple[float, float, int]] = []
    watching = asyncio.create_task(watch(process, gaps))
    await asyncio.sleep(given.seconds / 2)
    begun, rng = time.monotonic(), random.Random(0)
    alphabet = lm.tokenizer.encode("the red box and a blue one stand under it: 0123456789")
    while time.monotonic() - begun < given.seconds:
        ids = rng.choices(alphabet, k=lm.config.max_positions - 8)
        body = {"prompt": ids, "max_tokens": 1, "mode": "ar", "seed": 1}
        started = time.monotonic()
        status, reply = await ask(process.address, "/v1/completions", body, key=key_of(1))
        if status != 200:
            raise RuntimeError(f"the long prompt was answered with {status}: {reply}")
        busy.append((started, time.monotonic(), len(ids)))
    await gone([watching])
    await process.idle(key_of(0))

    def inside(when: float) -> bool:
        return any(start <= when <= end for start, end, _ in busy)

    return {
        "prompt_tokens": busy[0][2],
        "prompts": len(busy),
        "prompt_seconds": round(statistics.median(end - start for start, end, _ in busy), 2),
        "gap_ms_alone": percentiles([gap for when, gap in gaps if not inside(when)]),
        "gap_ms_beside": percentiles([gap for when, gap in gaps if inside(when)]),
    }


async def watch(process: Process, gaps: list[tuple[float, float]]) -> None:
    """Note when drafts come, and how long after the one before of their canvas."""
    for path, body in long()(0):
        sent = json.dumps(body | {"canvas_events": "changes", "logit_bias": ENDS}).encode()
        async with connected(process.address) as wire:
            await wire.send(request_of(process.address, "POST", path, sent, key=key_of(0)))
            before, canvas = 0.0, -1
            async for event in wire.events():
                if event and "canvas" in event:
                    now = time.monotonic()
                    if event["canvas"]["canvas"] == canvas:
                        gaps.append((now, now - before))
                    before, canvas = now, event["canvas"]["canvas"]


async def measure_chat(process: Process, given: argparse.Namespace) -> Json:
    """A conversation: tokens that each turn encodes anew."""
    messages: list[Json] = []
    turns, before = [], 0
    asked = scenes(stream=False)(MOST - 2)
    for _ in range(given.turns):
        path, body = next(asked)
        messages += body["messages"]
        status, reply = await ask(
            process.address, path, body | {"messages": messages}, key=key_of(MOST - 2)
        )
        if status != 200:
            raise RuntimeError(f"a turn was answered with {status}: {reply}")
        usage = reply["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        turns.append(
            {
                "prompt_tokens": usage["prompt_tokens"],
                "new_tokens": usage["prompt_tokens"] - before,
                "encoded": usage["prompt_tokens"] - cached,
            }
        )
        before = usage["prompt_tokens"]
        messages.append({"role": "assistant", "content": reply["choices"][0]["message"]["content"]})
    return {"turns": turns}


async def measure(given: argparse.Namespace) -> Json:
    """All that is asked for, with one server."""
    lm = canvaslm.load()
    found: Json = {
        "machine": cpu_name(),
        "cores": core_count(),
        "threads": torch.get_num_threads(),
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
        "seconds_each": given.seconds,
    }
    say("probing ...")
    found["probe"] = probe(lm)
    async with served(OURS, keys=[key_of(n) for n in range(MOST)]) as process:
        parts: dict[str, Callable[[], Awaitable[Json]]] = {
            "load": lambda: measure_load(process, given),
            "peer": lambda: measure_peer(process, given),
            "short": lambda: measure_short(process, given),
            "prefill": lambda: measure_prefill(process, given, lm),
            "chat": lambda: measure_chat(process, given),
        }
        for name in given.only or parts:
            say(f"{name} ...")
            found[name] = await parts[name]()
        found["resident_bytes"] = process.look().resident
    return found


def main() -> None:
    """Measure what the command line asks for, print it, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument(
        "--warm", type=float, default=5, help="seconds before each that do not count"
    )
    parser.add_argument("--turns", type=int, default=8, help="of the conversation")
    parser.add_argument("--only", nargs="+", choices=["load", "peer", "short", "prefill", "chat"])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    given = parser.parse_args()
    if not all(1 <= count <= MOST for count in given.clients):
        parser.error(f"--clients: each is 1 to {MOST}")
    found = asyncio.run(measure(given))
    if given.write is not None:
        write_pages(found, given.write)
    sys.stdout.write((json.dumps(found, indent=1) if given.json else report(found)) + "\n")


if __name__ == "__main__":
    main()
