"""The embedded model's tokens a second: in an earlier revision, now, and in 8 bits, in turn.

    python bench/embedded.py [--before REVISION] [--tasks scenes sudoku json] [--repeat 5]

Each round runs one process of each, on the same weights, held-out prompts and seeds. The earlier
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
BEFORE = "cffec71"
PROMPTS = 8


def answer(folder: str, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Tokens, seconds and steps of some answers by task; runs in either revision."""
    import torch

    import canvaslm
    from canvaslm import Params, tasks

    torch.set_num_threads(given.threads)
    options = {"quant": given.quant} if given.quant else {}  # the earlier one does not know it
    lm, found = canvaslm.load(folder, **options), {}
    for name in given.tasks:
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
        earlier = extract(given.before, Path(scratch))
        sides = {"before": (earlier, None), "now": (SOURCE, None), "int8": (SOURCE, "int8")}
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for _ in range(given.repeat):
            for name, (source, quant) in sides.items():
                rounds[name].append(run(source, quant, given))
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


def run(source: Path, quant: str | None, given: argparse.Namespace) -> dict[str, Any]:
    weights = str(SOURCE / "canvaslm" / "pocket")
    options = ["--worker", weights, "--threads", str(given.threads), "--tasks", *given.tasks]
    options += ["--quant", quant] if quant else []
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
    parser.add_argument("--quant", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        found: dict[str, Any] = answer(given.worker, given)
    else:
        found = measure(given)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
