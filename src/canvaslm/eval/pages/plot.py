"""Pictures: scores with a bar for each task and bin, and probabilities beside what came true."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from canvaslm.errors import ParameterError, StorageError
from canvaslm.eval.reliability import Reliability
from canvaslm.eval.report import Report

KINDS = (".png", ".svg", ".pdf")


def check(file: Path) -> None:
    """Raise ParameterError for a kind of file that a plot cannot be, or without matplotlib."""
    if file.suffix not in KINDS:
        raise ParameterError(f"a plot is one of {', '.join(KINDS)}, got {file.name!r}")
    if find_spec("matplotlib") is None:
        raise ParameterError(
            "a plot needs matplotlib: install it with pip install 'canvaslm[bench]'"
        )


def plot(reports: Sequence[Report], file: Path) -> None:
    """Draw into `file`, of a kind that its name says: .png, .svg or .pdf.

    Raises ParameterError without matplotlib or for another kind, StorageError.
    """
    check(file)
    figures = import_module("matplotlib.figure")
    rows = [
        (f"{report.task}, {name}", row)
        for report in reports
        for name, row in (*report.bins.items(), ("all", report.total))
    ]
    figure = figures.Figure(figsize=(7, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    shares = [100 * row.score for _, row in rows]
    below = [100 * max(0.0, row.score - row.interval[0]) for _, row in rows]
    above = [100 * max(0.0, row.interval[1] - row.score) for _, row in rows]
    axes.barh(
        range(len(rows)), shares, xerr=(below, above), color="#8bb8dd", ecolor="#222", capsize=2
    )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("right, %, with Wilson's 95 % intervals")
    _save(figure, file)


def plot_reliability(found: Reliability, file: Path) -> None:
    """Share right against probability, on the diagonal where decisions are calibrated; the area of
    a dot is how many answers it stands for. Raises what `plot` does."""
    check(file)
    figure = import_module("matplotlib.figure").Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999", linestyle="--", linewidth=1)
    sure = [level.probability for level in found.levels]
    right = [level.right for level in found.levels]
    below = [max(0.0, level.right - level.interval[0]) for level in found.levels]
    above = [max(0.0, level.interval[1] - level.right) for level in found.levels]
    axes.errorbar(sure, right, yerr=(below, above), fmt="none", ecolor="#222", capsize=2)
    most = max(level.n for level in found.levels)
    axes.scatter(sure, right, s=[200 * level.n / most + 8 for level in found.levels], zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share right, with Wilson's 95 % intervals")
    axes.set_title(f"{found.quality.n} answers, calibration error {found.quality.ece:.3f}")
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    try:
        figure.savefig(file)
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from None
