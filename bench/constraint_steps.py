"""Constraints: what exact inference adds to a step, on random logits over a canvas of 256.

    python bench/constraint_steps.py [--tokenizer FOLDER ...] [--json]

The lattice is made once for each canvas; conditioning, with the likeliest text, and a joint draw
once for each step. The constraints are those of bench/constraints.py; times are the best of three,
in seconds of one core that other processes do not share in.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from constraints import CONSTRAINTS, POCKET, REPEATS, read_vocabulary

from canvaslm.control.constraint.columns import columns
from canvaslm.control.constraint.lattice import build_lattice
from canvaslm.control.constraint.machine import complete
from canvaslm.control.constraint.posterior import condition
from canvaslm.control.language import Vocabulary
from canvaslm.control.language.compile import compile_constraint

CANVAS = 256
ROOM = 512  # the answer may go on in a second canvas
END = "<eos>"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One constraint over one vocabulary; times in seconds."""

    constraint: str
    vocabulary: str
    size: int
    lattice_s: float
    condition_s: float
    draw_s: float


def measure(name: str, vocabulary: Vocabulary, title: str) -> Row:
    """Each part at its best of REPEATS."""
    automaton = compile_constraint(CONSTRAINTS[name](), vocabulary)
    machine = complete(automaton, frozenset([vocabulary.controls[END]]))
    view = columns(machine, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    logits_LV = torch.randn(CANVAS, vocabulary.size, generator=generator) * 8
    path_L, token_L = torch.rand(2, CANVAS, dtype=torch.float64, generator=generator)
    times = []
    for _ in range(REPEATS):
        z_LV = logits_LV.clone()
        marks = [time.process_time()]
        lattice = build_lattice(machine, state=machine.start, room=ROOM, length=CANVAS, pins={})
        marks.append(time.process_time())
        posterior = condition(z_LV, lattice, view)
        marks.append(time.process_time())
        posterior.draw(path_L, token_L)
        marks.append(time.process_time())
        times.append([after - before for before, after in pairwise(marks)])
    lattice_s, condition_s, draw_s = (min(part) for part in zip(*times, strict=True))
    return Row(
        constraint=name,
        vocabulary=title,
        size=vocabulary.size,
        lattice_s=lattice_s,
        condition_s=condition_s,
        draw_s=draw_s,
    )


def table(rows: list[Row]) -> str:
    lines = [
        "| constraint | vocabulary | lattice, once a canvas | condition | draw |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        times = (row.lattice_s, row.condition_s, row.draw_s)
        parts = " | ".join(f"{1000 * seconds:.1f} ms" for seconds in times)
        lines.append(f"| {row.constraint} | {row.size:,} | {parts} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description="Measure constrained steps.")
    parser.add_argument("--tokenizer", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for folder in [POCKET, *options.tokenizer]:
        vocabulary = read_vocabulary(folder)
        rows += [measure(name, vocabulary, folder.name) for name in CONSTRAINTS]
    text = json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
