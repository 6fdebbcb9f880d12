"""What an evaluation found, as tables and as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canvaslm.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from canvaslm.eval.report import Report, Row


def document(reports: Sequence[Report], machine: Mapping[str, str]) -> dict[str, Any]:
    """Of one task its report, of several all of them, with what they were measured on."""
    if len(reports) == 1:
        return {**reports[0].as_json(), **machine}
    return {"reports": [report.as_json() for report in reports], **machine}


def show(reports: Sequence[Report], machine: Mapping[str, str], *, folder: Path | None) -> None:
    """A table for each task."""
    console = output.console()
    for report in reports:
        _show(console, report, machine)
    if folder is not None:
        console.print(f"{folder / 'report.html'} has examples", markup=False)


def _show(console: Console, report: Report, machine: Mapping[str, str]) -> None:
    details = list(dict.fromkeys(name for row in report.bins.values() for name in row.details))
    table = output.figures(
        "bin", "cases", "right", "95 %", *details, "steps", "95 %", "tokens/step", "95 %", "s"
    )
    for name, row in (*report.bins.items(), ("all", report.total)):
        style = "bold" if name == "all" else None
        table.add_row(name, *_cells(row, details), style=style)
    console.print(
        f"{report.task}, {report.mode}, seed {report.seed}, {output.named(machine)}", markup=False
    )
    console.print(table)
    console.print(
        f"{report.seconds:,.1f} s, {report.tokens_per_second:,.0f} tokens/s, "
        f"{report.batch} at a time: {machine['device']}, {machine['dtype']}",
        markup=False,
    )


def _cells(row: Row, details: Sequence[str]) -> Sequence[str]:
    low, high = row.interval
    return (
        str(row.n),
        f"{row.score:.1%}",
        f"{low * 100:.0f}–{high * 100:.0f}",
        *(f"{row.details[key]:.1%}" if key in row.details else "–" for key in details),
        *_with_interval(row, "steps_per_canvas", row.steps_per_canvas),
        *_with_interval(row, "tokens_per_forward", row.tokens_per_forward),
        f"{row.seconds_per_case:.3f}",
    )


def _with_interval(row: Row, name: str, value: float | None) -> tuple[str, str]:
    if value is None or name not in row.bootstrap:
        return "–", "–"
    low, high = row.bootstrap[name]
    return f"{value:.1f}", f"{low:.1f}–{high:.1f}"
