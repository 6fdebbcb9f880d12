"""Score against steps: diffusion in few passes and in many, one shot, and left to right."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from canvaslm.errors import StorageError
from canvaslm.eval.pages.plot import check

Point = Mapping[str, Any]
"""`steps` allowed (None: as many as tokens), `score` and its `interval`, mean `passes`."""

Panel = Mapping[str, Any]
"""`name`; `lines`: points of each way to ask; `left to right`: a point by what was asked."""

_LIGHT = {
    "paper": "#fbfaf7",
    "ink": "#1d1b24",
    "quiet": "#6a6576",
    "rule": "#dedad0",
    "first": "#2f7fd6",
    "second": "#1b9e77",
    "third": "#b0811a",
    "ar": "#c8552e",
    "rival": "#8a4fb5",
}
_DARK = {
    "paper": "#17161d",
    "ink": "#f2f0f7",
    "quiet": "#a29dae",
    "rule": "#33303d",
    "first": "#5aa6f2",
    "second": "#3ec79b",
    "third": "#e0b64a",
    "ar": "#f08a5d",
    "rival": "#c08be6",
}
_WIDE, _HIGH, _PAD = 3.2, 2.6, 0.12  # inches


def draw(document: Mapping[str, Any], file: Path) -> None:
    """Draw `panels` into an .svg that follows the reader's light or dark setting, or a light .png
    or .pdf. Raises ParameterError without matplotlib or for another kind, StorageError."""
    check(file)
    panels: Sequence[Panel] = document["panels"]
    matplotlib = import_module("matplotlib")
    settings = {"svg.fonttype": "none", "svg.hashsalt": "curves", "font.size": 9}
    with matplotlib.rc_context({**settings, "font.family": "sans-serif"}):
        figure = laid_out(panels)
        held = io.BytesIO()
        figure.savefig(held, format=file.suffix[1:], facecolor=_LIGHT["paper"], **undated(file))
    data = held.getvalue()
    if file.suffix == ".svg":
        data = following(data.decode()).encode()
    try:
        file.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from None


def undated(file: Path) -> dict[str, Any]:
    """What keeps two drawings of the same numbers the same."""
    return {"metadata": {"Date": None}} if file.suffix == ".svg" else {}


def laid_out(panels: Sequence[Panel]) -> Any:
    """A figure with a panel each, and one legend."""
    across = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    down = -(-len(panels) // across)
    figure = import_module("matplotlib.figure").Figure(
        figsize=(_WIDE * across + 0.2, _HIGH * down + 0.8), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=_PAD, h_pad=_PAD)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    places = list(grid.flat)
    for axes, panel in zip(places, panels, strict=False):
        fill(axes, panel)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("right, %", color=_LIGHT["quiet"])
    known: dict[str, Any] = {}
    for axes in places[: len(panels)]:
        handles, labels = axes.get_legend_handles_labels()
        known = dict(zip(labels, handles, strict=True)) | known
    legend = figure.legend(
        known.values(),
        known.keys(),
        loc="outside lower center",
        ncols=min(3, len(known)),
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_color(_LIGHT["ink"])
    return figure


def fill(axes: Any, panel: Panel) -> None:
    """One panel: a line with its band for each way, one shot as a diamond, left to right."""
    far = 1.0
    ways = panel["lines"].items()
    for colour, (label, points) in zip(("first", "second", "third"), ways, strict=False):
        steps = [point["steps"] for point in points]
        far = max(far, *steps)
        low, high = zip(*(edges(point) for point in points), strict=True)
        axes.fill_between(steps, low, high, color=_LIGHT[colour], alpha=0.18, linewidth=0)
        scores = [100 * point["score"] for point in points]
        axes.plot(steps, scores, color=_LIGHT[colour], marker="o", markersize=4, label=label)
        if steps[0] == 1:
            axes.plot([1], scores[:1], "D", color=_LIGHT[colour], markersize=8, clip_on=False)
    if any(points[0]["steps"] == 1 for _, points in ways):
        axes.plot([], [], "D", color=_LIGHT["quiet"], markersize=8, label="one shot")
    for (colour, style), (label, point) in zip(
        (("ar", ":"), ("rival", "--")), panel["left to right"].items(), strict=False
    ):
        far = max(far, beside(axes, point, label, colour=colour, style=style))
    dress(axes, panel["name"], far)


def beside(axes: Any, point: Point, label: str, *, colour: str, style: str) -> float:
    """Left to right: a square at the passes it takes, and its height all the way."""
    score, passes = 100 * point["score"], max(1.0, float(point["passes"]))
    low, high = edges(point)
    axes.axhline(score, color=_LIGHT[colour], linestyle=style, linewidth=1, zorder=1)
    axes.errorbar(
        [passes],
        [score],
        yerr=([max(0.0, score - low)], [max(0.0, high - score)]),
        color=_LIGHT[colour],
        fmt="s",
        markersize=6,
        capsize=3,
        label=f"left to right, {label}",
        zorder=4,
    )
    return passes


def edges(point: Point) -> tuple[float, float]:
    low, high = point["interval"]
    return 100 * low, 100 * high


def dress(axes: Any, name: str, far: float) -> None:
    """Scales, names and colours."""
    axes.set_title(name, color=_LIGHT["ink"], fontsize=11, fontweight="bold", loc="left")
    axes.set_xscale("log", base=2)
    ticks = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    shown = [tick for tick in ticks if tick <= 1.5 * far]
    axes.set_xticks(shown, [str(tick) for tick in shown])
    axes.set_xlim(0.8, 1.4 * far)
    axes.set_ylim(-3, 103)
    axes.minorticks_off()
    axes.set_xlabel("passes of the network, at most", color=_LIGHT["quiet"])
    axes.grid(color=_LIGHT["rule"], linewidth=0.8)
    axes.set_facecolor(_LIGHT["paper"])
    axes.tick_params(colors=_LIGHT["quiet"], length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LIGHT["rule"])
    axes.set_axisbelow(True)


def following(svg: str) -> str:
    """The drawing with its colours as variables that a dark setting changes."""
    for name, colour in _LIGHT.items():
        svg = svg.replace(f": {colour}", f": var(--{name}, {colour})")
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in colours.items())
        for colours in (_LIGHT, _DARK)
    )
    style = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    return re.sub(r'(<style type="text/css">)', rf"\1{style}", svg, count=1)
