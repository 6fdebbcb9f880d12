"""`canvaslm eval sudoku`: held-out grids, or those of a file, by bin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import eval_options, options, output
from canvaslm.cli.eval_options import Budget, Kept, Mode
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.eval.sudoku import How, Solved, Tally
    from canvaslm.tasks.sudoku_files import Puzzle

Form = Literal["spaced", "rows"]


@dataclass(frozen=True, kw_only=True)
class OfFile:
    """Puzzles of a file, and how they are asked."""

    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Puzzles of your own: one a line (. or 0 for a blank), or a CSV with "
            "puzzle,solution, quizzes,solutions or source,question,answer,rating.",
            show_default=False,
        ),
    ] = None
    form: Annotated[
        Form | None,
        typer.Option(
            help="With --file: 81 digits apart, or nine rows.",
            show_default="rows for the embedded model, else spaced",
        ),
    ] = None
    pins: Annotated[
        bool, typer.Option("--pins", help="With --file: pin the clues on the canvas, too.")
    ] = False
    alone: Annotated[
        bool, typer.Option("--alone", help="With --file: pin them there, and ask nothing else.")
    ] = False
    one_shot: Annotated[bool, typer.Option("--one-shot", help="--mode one-shot.")] = False
    max_steps: Annotated[
        int | None,
        typer.Option(help="With --file: most steps of a canvas.", show_default=False),
    ] = None
    sighted: Annotated[
        bool,
        typer.Option("--sighted/--blind", help="With --file: self-conditioning between steps."),
    ] = True

    def __post_init__(self) -> None:
        only = {
            "--form": self.form,
            "--pins": self.pins,
            "--alone": self.alone,
            "--max-steps": self.max_steps,
            "--blind": not self.sighted,
        }
        given = [name for name, value in only.items() if value is not None and value is not False]
        if self.file is None and given:
            raise ParameterError(f"{', '.join(given)} would have no effect without --file")

    def how(self, mode: Mode, *, seed: int, batch: int | None, rows: bool) -> How:
        """How the puzzles are asked. Raises ParameterError for what would have no effect."""
        from canvaslm.eval.sudoku import How

        if mode == "one-shot" and self.max_steps is not None:
            raise ParameterError("--one-shot is --max-steps 1: leave one of them out")
        if mode == "ar" and batch is not None:
            raise ParameterError(f"mode ar answers one at a time: leave --batch {batch} out")
        return How(
            mode="ar" if mode == "ar" else "diffusion",
            form=self.form or ("rows" if rows else "spaced"),
            seed=seed,
            max_steps=1 if mode == "one-shot" else self.max_steps,
            pins=self.pins,
            alone=self.alone,
            sighted=self.sighted,
            batch=16 if batch is None else batch,
        )


def command(held_out: Callable[..., None]) -> Callable[..., None]:
    """The command; without a file it is `held_out`, which every task has."""

    def sudoku(
        *,
        more: eval_options.More = None,
        puzzles: OfFile,
        n: Annotated[
            int | None,
            typer.Option(
                "--n", help="Cases, spread evenly over bins, or a file's first.", show_default="200"
            ),
        ] = None,
        seed: eval_options.Seed = 0,
        mode: eval_options.Mode = "diffusion",
        bin: eval_options.Bin = None,
        budget: eval_options.Budget,
        source: eval_options.Source,
        kept: eval_options.Kept,
        as_json: options.Json = False,
    ) -> None:
        if puzzles.one_shot:
            if mode == "ar":
                raise ParameterError("--one-shot would have no effect with --mode ar")
            mode = "one-shot"
        if puzzles.file is None:
            held_out(
                more=more, n=200 if n is None else n, seed=seed, mode=mode, bin=bin,
                budget=budget, source=source, kept=kept, as_json=as_json,
            )  # fmt: skip
            return
        refuse(more, budget, kept)
        if source.remote:
            raise ParameterError("--file asks a model here, not a server: give its folder")
        how = puzzles.how(mode, seed=seed, batch=budget.batch, rows=source.model is None)
        of_file(puzzles.file, how, source, n=n, bin=bin, as_json=as_json)

    return sudoku


def refuse(more: list[str] | None, budget: Budget, kept: Kept) -> None:
    """Raises ParameterError for what would have no effect on a file."""
    unserved = {
        "further tasks": more,
        "--effort": budget.effort,
        "--out": kept.out,
        "--resume": kept.resume,
        "--plot": kept.plot,
        "--max-tokens": budget.max_tokens != Budget.max_tokens,
    }
    names = [name for name, value in unserved.items() if value]
    if names:
        raise ParameterError(f"{', '.join(names)} cannot be combined with --file: leave it out")


def of_file(
    file: Path, how: How, source: options.Source, *, n: int | None, bin: str | None, as_json: bool
) -> None:
    """Read all puzzles before the model is loaded, ask them, and report."""
    from canvaslm.eval.sudoku import as_json as to_json
    from canvaslm.eval.sudoku import tallies
    from canvaslm.tasks.sudoku_files import read_puzzles

    if n is not None and n < 1:
        raise ParameterError(f"--n must be at least 1, got {n}")
    puzzles = chosen(read_puzzles(file, most=n), bin)
    lm = source.load()
    rows = tallies(_solve(lm, puzzles, how))
    machine = source.measured(lm)
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
    asked = "clues asked, and pinned" if how.pins else "clues asked"
    asked = "left to right" if how.mode == "ar" else "clues pinned" if how.alone else asked
    console.print(f"sudoku, {asked}, seed {how.seed}, {output.named(machine)}", markup=False)
    console.print(table)
    console.print(f"{machine['device']}, {machine['dtype']}", markup=False)
