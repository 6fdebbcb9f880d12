"""Measures a model on every task in every mode, and writes what it found as JSON.

    python tools/measure.py                     the embedded model, into its own folder
    python tools/measure.py --n 50 --model RUN --out FILE

Then `make readme` brings the tables up to date.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

import canvaslm
from canvaslm import tasks
from canvaslm.engine.loading import POCKET
from canvaslm.eval.machine import describe_device
from canvaslm.eval.run import Mode, Plan, evaluate


def main() -> None:
    """Read the options, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=200, help="cases per task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--model", default=None)
    parser.add_argument("--out", type=Path, default=POCKET / "measured.json")
    given = parser.parse_args()
    lm = canvaslm.load(given.model)
    reports = []
    for task in tasks.TASKS:
        for mode in get_args(Mode):
            plan = Plan(task=task, n=given.n, seed=given.seed, mode=mode, batch=given.batch)
            report = evaluate(lm, plan)
            print(f"{task}, {mode}: {report.total.score:.1%}", file=sys.stderr)
            reports.append(report.as_json())
    dtype = str(lm.placement.dtype).removeprefix("torch.")
    found = {
        "command": " ".join(["python tools/measure.py", *sys.argv[1:]]),
        "machine": f"{describe_device(lm.placement.device)}, {dtype}",
        "reports": reports,
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
