"""How a denoising step grows: with the batch, the prefix, the canvas and the threads.

    python bench/growth.py FOLDER [--repeat 3] [--only batch prefix canvas threads] [--small]

One process, one model; each point is the median of --repeat steps after one that warms up. Prefixes
are random K/V, which take no time to encode. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm.engine.lm import LM
from canvaslm.eval.machine import core_count
from canvaslm.measure.passes import Setting, time_passes
from canvaslm.measure.report import Spread

POINTS: dict[str, tuple[int, ...]] = {
    "batch": (1, 2, 4, 8),
    "prefix": (0, 1024, 4096, 8192, 16_384, 32_768),
    "canvas": (64, 128, 256, 512),
    "threads": (1, 2),
}
SMALL = {"batch": (1, 2), "prefix": (0, 300), "canvas": (16, 32), "threads": (1,)}
LABELS = {
    "batch": "canvases at once",
    "prefix": "tokens before the canvas",
    "canvas": "tokens of the canvas",
    "threads": "threads",
}


def settings(what: str, points: tuple[int, ...], repeat: int) -> Iterator[tuple[int, Setting]]:
    """One setting for each point; whatever does not vary is the usual."""
    usual = Setting(prefix=1024, canvas=256, repeat=repeat, fill="random")
    name = {"batch": "rows", "prefix": "prefix", "canvas": "canvas"}.get(what)
    for point in points:
        yield point, usual if name is None else replace(usual, **{name: point})


def measure(lm: LM, what: str, points: tuple[int, ...], repeat: int) -> list[dict[str, Any]]:
    """Seconds of a step at each point that this machine and model can do."""
    found = []
    for point, setting in settings(what, points, repeat):
        if setting.prefix + setting.canvas > lm.config.max_positions:
            continue
        if what == "threads":
            if point > core_count():
                continue
            torch.set_num_threads(point)
        seconds = list(time_passes(lm, "step", setting))[setting.warmup :]
        found.append({"at": point, "seconds": asdict(Spread.of(seconds))})
    torch.set_num_threads(core_count())
    return found


def draw(growth: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """A panel for each; a line through the first point shows what growing in step would be."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 8}
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(growth), figsize=(2.6 * len(growth), 2.6))
    for panel, (what, points) in zip(panels, growth.items(), strict=True):
        at = [point["at"] for point in points]
        seconds = [point["seconds"]["median"] for point in points]
        panel.plot(at, seconds, "o-", color="#2a7fba", label="measured")
        if what in ("batch", "canvas"):
            even = [seconds[0] * x / at[0] for x in at]
            panel.plot(at, even, "--", color="#bbbbbb", label="in proportion")
            panel.legend(frameon=False)
        panel.set(xlabel=LABELS[what], ylim=(0, None))
        panel.set_xticks(at, labels=[f"{x // 1024}k" if x >= 1024 else str(x) for x in at])
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds per step")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", help="default: the embedded model")
    parser.add_argument("--only", nargs="+", default=list(POINTS), choices=list(POINTS))
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="few and small points")
    given = parser.parse_args()
    torch.set_num_threads(core_count())
    lm, points = canvaslm.load(given.folder), SMALL if given.small else POINTS
    found: dict[str, Any] = {"layers": len(lm.config.layers)}
    found |= {what: measure(lm, what, points[what], given.repeat) for what in given.only}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
