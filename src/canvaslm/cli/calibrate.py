"""`canvaslm calibrate`: temperatures for decisions, fitted to questions with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options, output
from canvaslm.cli.decide import DividePrior, Method, Orders
from canvaslm.errors import CheckpointError

if TYPE_CHECKING:
    from rich.table import Table

    from canvaslm.engine.decide.fitting import Fit
    from canvaslm.engine.decide.questions import Kind


def calibrate(
    *,
    file: Annotated[
        Path,
        typer.Argument(help='Lines {"state": ..., "questions": ..., "answers": ...}.'),
    ],
    method: Method = "denoise",
    orders: Orders = 1,
    divide_prior: DividePrior = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write.", show_default="decisions.json beside the checkpoint"),
    ] = None,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Fit a temperature for each kind of question, store them, and say what they change."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn

    from canvaslm.cli.progress import bar
    from canvaslm.engine.decide.calibration import Calibration
    from canvaslm.engine.decide.decide import Rules
    from canvaslm.engine.decide.examples import gather, read_examples
    from canvaslm.engine.decide.fitting import fit_all

    target = _beside(source) if out is None else out
    examples = read_examples(file)
    rules = Rules(method=method, orders=orders, divide_prior=divide_prior)
    lm = source.load()
    with bar(MofNCompleteColumn()) as progress:
        row = progress.add_task("reading", total=len(examples))
        cases = gather(
            lm.decider,
            examples,
            rules=rules,
            progress=lambda done: progress.update(row, completed=done),
        )
    fits = fit_all(cases)
    temperatures = {kind: fit.temperature for kind, fit in fits.items()}
    known = Calibration.read(target) if target.exists() else lm.calibration
    written = known.replace(method, temperatures).write(target)
    if as_json:
        kinds = {kind: asdict(fit) for kind, fit in fits.items()}
        output.write_json({"method": method, "kinds": kinds, "written": str(written)})
    else:
        Console(highlight=False).print(_table(fits))
        typer.echo(f"written to {written}")


def _beside(source: options.Source) -> Path:
    """The checkpoint's folder, where it is the caller's own. Raises CheckpointError."""
    model = source.model
    if source.adapter is not None:
        raise CheckpointError(
            "temperatures beside the checkpoint are those of the model without its adapter: choose "
            "a file with --out, and name it with --calibration when deciding"
        )
    if model is not None and Path(model).expanduser().is_dir():
        return Path(model).expanduser()
    what = "the embedded model" if model is None else "a model from the hub"
    raise CheckpointError(
        f"{what} is not yours to change: choose a file with --out, and name it with --calibration "
        "when deciding"
    )


def _table(fits: Mapping[Kind, Fit]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("kind", box=SIMPLE_HEAD)
    for name in ("answers", "right", "temperature", "ECE", "calibrated", "NLL", "calibrated"):
        table.add_column(name, justify="right")
    for kind, fit in fits.items():
        figures = (fit.temperature, fit.before.ece, fit.after.ece, fit.before.nll, fit.after.nll)
        cells = (str(fit.before.n), f"{fit.before.accuracy:.1%}", *(f"{x:.3f}" for x in figures))
        table.add_row(kind, *cells)
    return table
