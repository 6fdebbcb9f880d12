"""What an adapter has learnt and what was forgotten: base and adapters on the same held-out cases.

    python bench/learnt.py --adapter star=FOLDER [--adapter motif=FOLDER] [--out runs/learnt]
                           [--n 200] [--old 100] [--batch 8] [--seed 0]

Each run is one of `canvaslm eval`, kept in a folder; started again, it goes on where it stood.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from canvaslm.eval.trials.compare import Difference, compare, finished
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.record import Record
from canvaslm.tasks import TASKS


def answered(tasks: Sequence[str], adapter: str | None, n: int, given: argparse.Namespace) -> Path:
    """The folder of a finished run."""
    name = "base" if adapter is None else Path(adapter).resolve().parent.name
    mode = "" if given.mode == "diffusion" else f"-{given.mode}"
    folder: Path = given.out / f"{name}-{'-'.join(tasks)}{mode}"
    command = [sys.executable, "-m", "canvaslm", "eval", *tasks]
    command += ["--n", str(n), "--seed", str(given.seed), "--batch", str(given.batch)]
    command += ["--mode", given.mode, "--out", str(folder)]
    command += [] if adapter is None else ["--adapter", adapter]
    command += ["--resume"] if folder.exists() else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def records(folder: Path) -> list[Record]:
    return finished(Folder(path=folder))


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def points(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def learnt(task: str, base: list[Record], worn: list[Record]) -> Iterator[str]:
    """The new task, in all and by bin."""
    bins = list(dict.fromkeys(record.bin for record in worn))
    for bin in (None, *bins):
        mine, other = (
            [record for record in run if bin is None or record.bin == bin] for run in (worn, base)
        )
        found = compare(mine, other)[task]
        steps = sum(one.steps or 0 for one in mine) / max(1, sum(one.canvases or 0 for one in mine))
        name = task if bin is None else f"{task}, {bin}"
        yield (
            f"| {name} | {found.n} | {percent(found.b)} | {percent(found.a)} | "
            f"{points(*found.interval)} | {steps:.1f} |"
        )


def kept(found: dict[str, Difference]) -> Iterator[str]:
    """The old tasks: base, with the adapter worn, and the difference."""
    for task, one in found.items():
        yield (
            f"| {task} | {one.n} | {percent(one.b)} | {percent(one.a)} | "
            f"{100 * one.difference:+.1f} | {points(*one.interval)} | {one.wins} : {one.losses} |"
        )


def report(given: argparse.Namespace) -> Iterator[str]:
    """Both tables of every adapter, as Markdown."""
    for named in given.adapter:
        task, _, folder = named.partition("=")
        before, after = (
            records(answered([task], adapter, given.n, given)) for adapter in (None, folder)
        )
        yield f"## {task}\n"
        yield "| task | n | base | with the adapter | difference, 95 % | steps per canvas |"
        yield "|---|---|---|---|---|---|"
        yield from learnt(task, before, after)
        if given.old:
            before, after = (
                records(answered(TASKS, adapter, given.old, given)) for adapter in (None, folder)
            )
            yield "\n| old task | n | base | worn | points | 95 % | won : lost |"
            yield "|---|---|---|---|---|---|---|"
            yield from kept(compare(after, before))
        yield ""


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--adapter", action="append", required=True, metavar="TASK=FOLDER")
    parser.add_argument("--out", type=Path, default=Path("runs/learnt"))
    parser.add_argument("--n", type=int, default=200, help="cases of the new task")
    parser.add_argument("--old", type=int, default=100, help="cases of each old task; 0: none")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--mode", choices=("diffusion", "one-shot", "ar"), default="diffusion")
    parser.add_argument("--seed", type=int, default=0)
    for line in report(parser.parse_args()):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
