"""`canvaslm eval --compare A B`: two finished runs on the same cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canvaslm.cli import output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.eval.trials.compare import Difference, Interval


def compare_runs(
    context: typer.Context,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B",
            help="Compare the finished runs in two folders, case by case: A less B.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --compare: print one JSON document.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        if compare is not None or as_json:
            raise ParameterError("--compare A B stands alone; a task's --json behind the task")
        return
    if compare is None:
        if as_json:
            raise ParameterError("--json needs a task, or --compare A B")
        context.fail("Name a task, or two runs with --compare.")
    from canvaslm.eval.trials import compare as pairs
    from canvaslm.eval.trials.folder import Folder

    a, b = (Folder(path=path) for path in compare)
    found = pairs.compare(pairs.finished(a), pairs.finished(b))
    named = {"a": str(a.path), "b": str(b.path)}
    if as_json:
        output.write_json(_document(found, named))
    else:
        _show(found, named)


def _document(found: Mapping[str, Difference], named: Mapping[str, str]) -> dict[str, Any]:
    return {**named, "tasks": {task: one.as_json() for task, one in found.items()}}


def _show(found: Mapping[str, Difference], named: Mapping[str, str]) -> None:
    console = output.console()
    console.print(f"A {named['a']}, B {named['b']}", markup=False)
    table = output.figures(
        "task",
        *("pairs", "A", "B", "A less B", "95 %", "wins", "losses", "ties", "p"),
        *("steps A/B", "95 %", "time A/B", "95 %"),
    )
    for task, one in found.items():
        low, high = one.interval
        table.add_row(
            task,
            str(one.n),
            f"{one.a:.1%}",
            f"{one.b:.1%}",
            f"{one.difference * 100:+.1f}",
            f"{low * 100:+.1f} to {high * 100:+.1f}",
            *map(str, (one.wins, one.losses, one.ties)),
            f"{one.p:.3g}",
            *_ratio(one.steps_ratio, one.steps_interval),
            *_ratio(one.seconds_ratio, one.seconds_interval),
        )
    console.print(table)
    console.print("intervals by resampling pairs; p is McNemar's exact test, two-sided")


def _ratio(value: float | None, interval: Interval | None) -> tuple[str, str]:
    if value is None or interval is None:
        return "–", "–"
    return f"{value:.2f}", f"{interval[0]:.2f}–{interval[1]:.2f}"
