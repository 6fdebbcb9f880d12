"""The embedded model's tokens a second, now and in an earlier revision, in turn.

    python bench/embedded.py [--before REVISION] [--tasks scenes sudoku json] [--repeat 5]

Each round runs one process of either, on the same weights, held-out prompts and seeds. The earlier
one is taken out of git; by default the last before there were compiled kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
BEFORE = "7dda3a3"
PROMPTS = 8


def answer(folder: str, names: list[str], threads: int) -> dict[str, dict[str, float]]:
    """Tokens, seconds and steps of some answers by task; runs in either revision."""
    import torch

    import canvaslm
    from canvaslm import Params, tasks

    torch.set_num_threads(threads)
    lm, found = canvaslm.load(folder), {}
    for name in names:
        rng, cases = random.Random(0), tasks.get(name)
        bins = [cases.bins[i % len(cases.bins)] for i in range(PROMPTS)]
        prompts = [cases.sample(rng, split="test", bin=bin).prompt for bin in bins]
        lm.generate(prompts[0], params=Params(max_tokens=256, seed=0))
        usages = [
            lm.generate(prompt, params=Params(max_tokens=256, seed=seed)).usage
            for seed, prompt in enumerate(prompts)
        ]
        found[name] = {
            "tokens": sum(usage.completion_tokens for usage in usages),
            "steps": sum(usage.steps for usage in usages),
            "seconds": sum(usage.seconds for usage in usages),
        }
    return found


def extract(revision: str, folder: Path) -> Path:
    """The package of an earlier revision. Raises CalledProcessError where git has none."""
    command = ["git", "-C", str(HERE.parent), "archive", revision, "src/canvaslm"]
    done = subprocess.run(command, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        sources = {"before": extract(given.before, Path(scratch)), "now": SOURCE}
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
        for _ in range(given.repeat):
            for name, source in sources.items():
                rounds[name].append(run(source, given))
    found: dict[str, Any] = {"before": given.before, "threads": given.threads}
    for what, over in (("tokens_per_second", "tokens"), ("seconds_per_step", "steps")):
        found[what] = {
            task: {name: median(made, task, over) for name, made in rounds.items()}
            for task in given.tasks
        }
    return found


def median(rounds: list[dict[str, Any]], task: str, over: str) -> float:
    """Of the rounds: tokens over seconds, or seconds over steps."""
    each = [one[task][over] / one[task]["seconds"] for one in rounds]
    return statistics.median(each if over == "tokens" else [1 / value for value in each])


def run(source: Path, given: argparse.Namespace) -> dict[str, Any]:
    weights = str(SOURCE / "canvaslm" / "pocket")
    options = ["--worker", weights, "--threads", str(given.threads), "--tasks", *given.tasks]
    done = subprocess.run(
        [sys.executable, __file__, *options],
        env=os.environ | {"PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", default=BEFORE, help="a revision")
    parser.add_argument("--tasks", nargs="+", default=["scenes", "sudoku", "json"])
    parser.add_argument("--repeat", type=int, default=5, help="rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        found: dict[str, Any] = answer(given.worker, given.tasks, given.threads)
    else:
        found = measure(given)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
