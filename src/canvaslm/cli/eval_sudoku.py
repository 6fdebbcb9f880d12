"""`canvaslm eval sudoku`: held-out grids, or those of a file, by bin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import eval_options, options, output, parameters
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.eval.sudoku import How, Solved, Tally
    from canvaslm.tasks.sudoku_files import Puzzle

Form = Literal["spaced", "rows"]


def command(held_out: Callable[..., None]) -> Callable[..., None]:
    """The command; without a file it is `held_out`, which every task has."""

    def sudoku(
        more: eval_options.More = None,
        file: Annotated[
            Path | None,
            typer.Option(
                "--file",
                help="Puzzles of your own: one a line (. or 0 for a blank), or a CSV with "
                "puzzle,solution, quizzes,solutions or source,question,answer,rating.",
                show_default=False,
            ),
        ] = None,
        form: Annotated[
            Form | None,
            typer.Option(
                help="With --file: 81 digits apart, or nine rows.",
                show_default="rows for the embedded model, else spaced",
            ),
        ] = None,
        pins: Annotated[
            bool, typer.Option("--pins", help="With --file: pin the clues on the canvas, too.")
        ] = False,
        one_shot: Annotated[bool, typer.Option("--one-shot", help="--mode one-shot.")] = False,
        max_steps: Annotated[
            int | None,
            typer.Option(help="With --file: most steps of a canvas.", show_default=False),
        ] = None,
        sighted: Annotated[
            bool,
            typer.Option("--sighted/--blind", help="With --file: self-conditioning between steps."),
        ] = True,
        n: Annotated[
            int | None,
            typer.Option(
                "--n", help="Cases, spread evenly over bins, or a file's first.", show_default="200"
            ),
        ] = None,
        seed: eval_options.Seed = 0,
        mode: eval_options.Mode = "diffusion",
        bin: eval_options.Bin = None,
        batch: eval_options.Batch = None,
        max_tokens: eval_options.MaxTokens = 256,
        effort: parameters.Effort = None,
        model: eval_options.Model = None,
        device: options.Device = "auto",
        dtype: options.Dtype = "auto",
        out: eval_options.Out = None,
        resume: eval_options.Resume = False,
        plot: eval_options.Plot = None,
        as_json: options.Json = False,
    ) -> None:
        if one_shot:
            if mode == "ar":
                raise ParameterError("--one-shot would have no effect with --mode ar")
            mode = "one-shot"
        if file is None:
            only = {
                "--form": form,
                "--pins": pins,
                "--max-steps": max_steps,
                "--blind": not sighted,
            }
            given = [name for name, value in only.items() if value]
            if given:
                raise ParameterError(f"{', '.join(given)} would have no effect without --file")
            held_out(
                more=more, n=200 if n is None else n, seed=seed, mode=mode, bin=bin, batch=batch,
                max_tokens=max_tokens, effort=effort, model=model, device=device, dtype=dtype,
                out=out, resume=resume, plot=plot, as_json=as_json,
            )  # fmt: skip
            return
        unserved = {
            "further tasks": more,
            "--effort": effort,
            "--out": out,
            "--resume": resume,
            "--plot": plot,
            "--max-tokens": max_tokens != 256,
        }
        refuse([name for name, value in unserved.items() if value])
        how = ordered(
            mode, form=form, model=model, seed=seed, max_steps=max_steps, pins=pins,
            sighted=sighted, batch=batch,
        )  # fmt: skip
        of_file(file, how, n=n, bin=bin, model=model, device=device, dtype=dtype, as_json=as_json)

    return sudoku


def refuse(names: Sequence[str]) -> None:
    if names:
        raise ParameterError(f"{', '.join(names)} cannot be combined with --file: leave it out")


def ordered(
    mode: str,
    *,
    form: Form | None,
    model: str | None,
    seed: int,
    max_steps: int | None,
    pins: bool,
    sighted: bool,
    batch: int | None,
) -> How:
    """How the puzzles are asked. Raises ParameterError for what would have no effect."""
    from canvaslm.eval.sudoku import How

    if (model or "").startswith(("http://", "https://")):
        raise ParameterError("--file asks a model here, not a server: give its folder")
    if mode == "one-shot" and max_steps is not None:
        raise ParameterError("--one-shot is --max-steps 1: leave one of them out")
    return How(
        mode="ar" if mode == "ar" else "diffusion",
        form=form or ("rows" if model is None else "spaced"),
        seed=seed,
        max_steps=1 if mode == "one-shot" else max_steps,
        pins=pins,
        sighted=sighted,
        batch=16 if batch is None else batch,
    )


def of_file(
    file: Path,
    how: How,
    *,
    n: int | None,
    bin: str | None,
    model: str | None,
    device: str,
    dtype: str,
    as_json: bool,
) -> None:
    """Read all puzzles before the model is loaded, ask them, and report."""
    from canvaslm.eval.sudoku import as_json as to_json
    from canvaslm.eval.sudoku import tallies
    from canvaslm.tasks.sudoku_files import read_puzzles

    puzzles = chosen(read_puzzles(file, most=n), bin)
    lm = options.load(model, device=device, dtype=dtype)
    rows = tallies(_solve(lm, puzzles, how))
    machine = output.measured(lm, model)
    if as_json:
        output.write_json({"file": str(file), **vars(how), "bins": to_json(rows), **machine})
    else:
        show(rows, how, machine)


def chosen(puzzles: Sequence[Puzzle], bin: str | None) -> Sequence[Puzzle]:
    """The puzzles of one bin, ours or the protocol's."""
    from canvaslm.tasks.sudoku_protocol import OWN_BINS, OWNER_BINS

    bins = {**OWN_BINS, **OWNER_BINS}
    if bin is None:
        return puzzles
    if bin not in bins:
        raise ParameterError(f"no bin {bin!r}: use one of {', '.join(bins)}")
    fewest, most = bins[bin]
    kept = [puzzle for puzzle in puzzles if fewest <= puzzle.clues <= most]
    if not kept:
        raise ParameterError(f"the file has no puzzle in bin {bin}")
    return kept


def _solve(lm: Any, puzzles: Sequence[Puzzle], how: How) -> list[Solved]:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.sudoku import solve_all

    right = TextColumn("{task.fields[right]} right")
    with bar(MofNCompleteColumn(), TimeRemainingColumn(), right) as progress:
        row = progress.add_task("solving", total=len(puzzles), right=0)
        return solve_all(
            lm,
            puzzles,
            how,
            progress=lambda done, right: progress.update(row, completed=done, right=right),
        )


def show(rows: Mapping[str, Tally], how: How, machine: Mapping[str, str]) -> None:
    """A table: our bins, the protocol's, all."""
    table = output.figures("bin", "cases", "right", "95 %", "cells", "clues", "steps", "s")
    for name, row in rows.items():
        low, high = row.interval
        table.add_row(
            name,
            str(row.n),
            f"{row.score:.1%}",
            f"{low * 100:.0f}–{high * 100:.0f}",
            f"{row.cells:.1%}",
            f"{row.kept:.1%}",
            f"{row.steps:.1f}",
            f"{row.seconds:.3f}",
            style="bold" if name == "all" else None,
        )
    console = output.console()
    asked = "left to right" if how.mode == "ar" else "clues pinned" if how.pins else "clues asked"
    console.print(f"sudoku, {asked}, seed {how.seed}, {machine['model']} model", markup=False)
    console.print(table)
    console.print(f"{machine['device']}, {machine['dtype']}", markup=False)
