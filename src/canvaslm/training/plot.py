"""The losses of a run, drawn from its log: loss.png and loss.svg."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

from canvaslm.errors import TrainingError
from canvaslm.training.files import storing

SMOOTH = 50  # points that a line is averaged into


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def curves(log: Path) -> dict[str, list[tuple[float, float]]]:
    """(step, value) of every loss in a log, by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in log.read_text("utf-8").splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name.endswith(("/causal", "/canvas")) or name == "held_out/loss":
                found.setdefault(name, []).append((record["step"], value))
    return found


def thin(points: list[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Means of neighbours, so that a long run is a line and not a cloud."""
    size = max(1, len(points) // SMOOTH)
    for start in range(0, len(points), size):
        part = points[start : start + size]
        yield sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)


def plot_losses(folder: Path) -> list[Path]:
    """Draw `folder/log.jsonl`. Raises TrainingError without matplotlib, or where no step ran."""
    if not can_plot():
        raise TrainingError("plots need matplotlib: pip install 'canvaslm[train]'")
    drawn = curves(folder / "log.jsonl") if (folder / "log.jsonl").is_file() else {}
    if not drawn:
        raise TrainingError(f"{folder} has no log.jsonl with losses: nothing to draw")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in sorted(drawn.items()):
        whole = name.startswith("held_out")
        xs, ys = zip(*(points if whole else thin(points)), strict=True)
        axes.plot(xs, ys, label=name, marker="o" if whole else None, markersize=3)
    axes.set(xlabel="step", ylabel="nats per token", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    paths = [folder / "loss.png", folder / "loss.svg"]
    for path in paths:
        with storing(path):
            figure.savefig(path, dpi=120)
    return paths
