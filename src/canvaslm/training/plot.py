"""The losses of a run, drawn from its log: loss.png and loss.svg."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from canvaslm.errors import TrainingError
from canvaslm.training.files import storing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTH = 50  # points that a line is averaged into
COLUMNS = 4  # of panels
COLOURS = {"canvas": "tab:blue", "causal": "tab:orange", "loss": "tab:green"}


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


Points = list[tuple[float, float]]


def curves(log: Path) -> dict[str, dict[str, Points]]:
    """(step, value) of every loss in a log, by mixture and kind. A kind that is 0 throughout is
    left out beside one that is not."""
    found: dict[str, dict[str, Points]] = {}
    for line in log.read_text("utf-8").splitlines():
        record = json.loads(line)
        for name, value in record.items():
            mixture, _, kind = name.rpartition("/")
            if kind in ("causal", "canvas") or name == "held_out/loss":
                found.setdefault(mixture, {}).setdefault(kind, []).append((record["step"], value))
    return {
        mixture: {kind: points for kind, points in kinds.items() if any(y for _, y in points)}
        or kinds
        for mixture, kinds in found.items()
    }


def thin(points: Points) -> Iterable[tuple[float, float]]:
    """Means of neighbours, so that a long run is a line and not a cloud."""
    size = max(1, len(points) // SMOOTH)
    for start in range(0, len(points), size):
        part = points[start : start + size]
        yield sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)


def plot_losses(folder: Path) -> list[Path]:
    """Draw `folder/log.jsonl`, a panel for each mixture.

    Raises TrainingError without matplotlib, or where no step ran.
    """
    if not can_plot():
        raise TrainingError("plots need matplotlib: pip install 'canvaslm[train]'")
    drawn = curves(folder / "log.jsonl") if (folder / "log.jsonl").is_file() else {}
    if not drawn:
        raise TrainingError(f"{folder} has no log.jsonl with losses: nothing to draw")
    figure = figure_of(drawn)
    paths = [folder / "loss.png", folder / "loss.svg"]
    for path in paths:
        with storing(path):
            figure.savefig(path, dpi=120)
    return paths


def figure_of(drawn: Mapping[str, Mapping[str, Points]]) -> Figure:
    """A panel for each mixture, a line for each kind."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(max(6, 3.2 * columns), 2.2 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    for panel, (mixture, kinds) in zip(panels, sorted(drawn.items()), strict=False):
        measured = mixture == "held_out"  # now and then, so each point is shown
        for kind, points in sorted(kinds.items()):
            xs, ys = zip(*(points if measured else thin(points)), strict=True)
            marker = "o" if measured else None
            panel.plot(xs, ys, color=COLOURS[kind], marker=marker, markersize=3)
        panel.set(title=mixture, ylim=(0, None))
        panel.grid(alpha=0.3)
    for panel in panels[len(drawn) - columns : len(drawn)]:
        panel.tick_params(labelbottom=True)
    for panel in panels[len(drawn) :]:
        panel.set_visible(False)
    named = {kind for kinds in drawn.values() for kind in kinds}
    lines = [Line2D([], [], color=COLOURS[kind], label=kind) for kind in COLOURS if kind in named]
    figure.legend(handles=lines, loc="outside upper right", ncols=len(lines), fontsize="small")
    figure.supylabel("nats per token, times weight")
    figure.supxlabel("step")
    return figure
