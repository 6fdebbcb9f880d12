"""Training speed: canvaslm beside transformers and accelerate, one objective, the same batches.

    python bench/train.py [--threads 1] [--rounds 5] [--steps 2] [--only mixture documents]
        [--parts agree ways race] [--json] [--write docs]

Each of them runs in a process of its own, and they take turns: a round is the same steps of every
one, and the table has medians over the rounds and of their ratios. `agree` lets both learn the same
batches from the same weights in float32 and compares their losses; `ways` tries how else the peer
can be set up, and `race` has it as it comes, in both precisions, and in the quickest of those ways.
Time is processor time, which other work on the machine does not move much. --write puts the tables
between the marks of DIR/training.md, and training.json into DIR/pictures, where parts and workloads
that were not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from serve_page import put
from train_page import report
from train_peer import Way, versions
from train_work import OURS, Ours, Runner, Side, runners, workloads

from canvaslm.eval.machine import core_count, cpu_name
from canvaslm.training.speed import peak

Json = dict[str, Any]
PARTS = ("agree", "ways", "race")
BEGIN, END = "<!-- bench/train.py -->", "<!-- end -->"
CLOSE = 1e-3
"""How far losses in float32 may be apart, relative, over the steps that are compared."""


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def agree(work: str, given: argparse.Namespace) -> Json:
    """Losses of both in float32, step by step, from the same weights."""
    both: dict[str, Side] = {OURS: Ours(precision="no"), "transformers": Way()}
    losses = {}
    with runners(both, work, threads=given.threads) as running:
        for name, runner in running.items():
            losses[name] = runner.learn(range(given.compared)).losses
    apart = [abs(a - b) / abs(b) for a, b in zip(*losses.values(), strict=True)]
    if max(apart) > CLOSE:
        raise SystemExit(f"{work}: the losses are {max(apart):.1e} apart: {losses}")
    return {"losses": losses, "apart": max(apart), "allowed": CLOSE}


def search(work: str, given: argparse.Namespace) -> list[Json]:
    """Ways to set up the peer, one change after another, each from the quickest so far.

    Not `batched_mm`, which copies an expert's weights for every token: minutes a step.
    """
    best, found = Way(), []
    changes: list[dict[str, Any]] = [
        {},
        {"precision": "bf16"},
        {"attention": "eager"},
        {"experts": "eager"},
        {"chosen_rows": False},
        {"compiled": True},
    ]
    least = math.inf
    for change in changes:
        way = replace(best, **change)
        found.append({"way": asdict(way), "name": way.name} | tried(way, work, given))
        say(f"{work}: {found[-1]}")
        if found[-1].get("cpu", math.inf) < least:
            best, least = way, found[-1]["cpu"]
    return found


def tried(way: Way, work: str, given: argparse.Namespace) -> Json:
    try:
        with runners({"peer": way}, work, threads=given.threads) as running:
            warm = running["peer"].learn(range(given.steps))
            turn = running["peer"].learn(range(given.steps, 2 * given.steps))
    except RuntimeError as error:
        return {"failed": str(error).strip().splitlines()[-1][:200]}
    return {"cpu": turn.cpu / given.steps, "first_seconds": warm.seconds}


def race(work: str, taking_part: dict[str, Side], given: argparse.Namespace) -> Json:
    """Rounds in which every side takes the same steps, one side after the other."""
    found: dict[str, list[Json]] = {name: [] for name in taking_part}
    with runners(taking_part, work, threads=given.threads) as running:
        for name, runner in running.items():
            say(f"{work}: {name} warms up")
            warm(runner, given)
        for turn in range(given.rounds):
            steps = range(turn * given.steps, (turn + 1) * given.steps)
            for name, runner in running.items():
                found[name].append(asdict(runner.learn(steps)))
            say(f"{work}: " + ", ".join(f"{n} {r[-1]['cpu']:.2f}" for n, r in found.items()))
    return {name: summary(rounds, found[OURS]) for name, rounds in found.items()}


def warm(runner: Runner, given: argparse.Namespace) -> None:
    """All the steps once: what is compiled is compiled for every shape that comes."""
    runner.learn(range(given.rounds * given.steps))


def summary(rounds: Sequence[Json], ours: Sequence[Json]) -> Json:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    return {
        "seconds_per_step": median([r["seconds"] / r["steps"] for r in rounds]),
        "cpu_per_step": median([r["cpu"] / r["steps"] for r in rounds]),
        "tokens_per_second": median([r["tokens"] / r["cpu"] for r in rounds]),
        "operations_per_second": median([r["operations"] / r["cpu"] for r in rounds]),
        "slower": median(
            [r["cpu"] / o["cpu"] for r, o in zip(rounds, ours, strict=True)],
        ),
        "slower_by_the_clock": median(
            [r["seconds"] / o["seconds"] for r, o in zip(rounds, ours, strict=True)]
        ),
        "last_loss": rounds[-1]["losses"][-1],
    }


def measure(given: argparse.Namespace, before: Json) -> Json:
    """What is asked for, with what was there before of the rest."""
    torch.set_num_threads(given.threads)
    found: Json = {
        "machine": cpu_name(),
        "cores": core_count(),
        "threads": given.threads,
        "rounds": given.rounds,
        "steps": given.steps,
        "versions": versions(),
        "peaks": {
            "float32": quietest_peak(bfloat16=False),
            "bfloat16": quietest_peak(bfloat16=True),
        },
        "works": before.get("works", {}),
    }
    for work in given.only:
        part: Json = found["works"].setdefault(work, {})
        part["what"] = workloads()[work].what
        if "agree" in given.parts:
            part["agree"] = agree(work, given)
            say(f"{work}: losses are {part['agree']['apart']:.1e} apart")
        if "ways" in given.parts:
            part["ways"] = search(work, given)
        if "race" in given.parts:
            part["sides"] = race(work, sides(part.get("ways", [])), given)
    return found


def quietest_peak(*, bfloat16: bool, tries: int = 30) -> float:
    """Operations a second of large products, at the quietest moment of several."""
    return max(peak(torch.device("cpu"), bfloat16=bfloat16) for _ in range(tries))


def sides(ways: Sequence[Json]) -> dict[str, Side]:
    """Who takes part: ours, the peer in both precisions, and its quickest way beside them."""
    plain = [Way(precision="no"), Way(precision="bf16")]
    timed = [one for one in ways if "cpu" in one]
    if timed and (best := Way(**min(timed, key=lambda one: one["cpu"])["way"])) not in plain:
        plain.append(best)
    ours: dict[str, Side] = {
        OURS: Ours(precision="bf16"),
        f"{OURS}, as written": Ours(precision="bf16", way="plain"),
    }
    return ours | {f"transformers + accelerate: {way.name}": way for way in plain}


def main() -> None:
    """Measure what the command line asks for, print it, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="of a round")
    parser.add_argument("--compared", type=int, default=6, help="steps whose losses are compared")
    parser.add_argument("--only", nargs="+", choices=list(workloads()), default=list(workloads()))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    given = parser.parse_args()
    kept = None if given.write is None else given.write / "pictures" / "training.json"
    found = measure(given, json.loads(kept.read_text()) if kept and kept.exists() else {})
    if kept is not None:
        kept.write_text(json.dumps(found, indent=1) + "\n")
        put(report(found), given.write / "training.md", begin=BEGIN, end=END)
    sys.stdout.write((json.dumps(found, indent=1) if given.json else report(found)) + "\n")


if __name__ == "__main__":
    main()
