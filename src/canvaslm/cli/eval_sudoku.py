"""`canvaslm eval sudoku`: held-out grids, or those of a file, by bin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import eval_options, options
from canvaslm.cli.eval_options import Budget, Mode, Source
from canvaslm.cli.eval_run import Request, carry_out
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.eval.asking import Asking
    from canvaslm.eval.sudoku import How
    from canvaslm.tasks.sudoku_files import Puzzle

Form = Literal["spaced", "rows"]
TOGETHER = 16
"""Puzzles at a time."""


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

    def mode(self, mode: Mode) -> Mode:
        """With --one-shot. Raises ParameterError where that would have no effect."""
        if self.one_shot and mode == "ar":
            raise ParameterError("--one-shot would have no effect with --mode ar")
        return "one-shot" if self.one_shot else mode

    def how(self, asking: Asking, *, rows: bool) -> How:
        """How the puzzles are asked. Raises ParameterError for what would have no effect."""
        from canvaslm.eval.sudoku import How

        return How(
            mode=asking.engine_mode,
            form=self.form or ("rows" if rows else "spaced"),
            seed=asking.seed,
            max_steps=asking.params.max_steps,
            pins=self.pins,
            alone=self.alone,
            sighted=self.sighted,
            batch=asking.batch,
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
        mode = puzzles.mode(mode)
        if puzzles.file is None:
            held_out(
                more=more, n=200 if n is None else n, seed=seed, mode=mode, bin=bin,
                budget=budget, source=source, kept=kept, as_json=as_json,
            )  # fmt: skip
            return
        refuse(more, budget, source)
        request = Request(
            mode=mode, seed=seed, budget=budget, source=source, kept=kept,
            max_steps=puzzles.max_steps, together=TOGETHER,
        )  # fmt: skip
        of_file(puzzles.file, puzzles, request, n=n, bin=bin, as_json=as_json)

    return sudoku


def refuse(more: list[str] | None, budget: Budget, source: Source) -> None:
    """Raises ParameterError for what cannot be done with a file."""
    unserved = {
        "further tasks": more,
        "--effort": budget.effort,
        "--max-tokens": budget.max_tokens != Budget.max_tokens,
    }
    names = [name for name, value in unserved.items() if value]
    if names:
        raise ParameterError(f"{', '.join(names)} cannot be combined with --file: leave it out")
    if source.remote:
        raise ParameterError("--file asks a model here, not a server: give its folder")


def of_file(
    file: Path, puzzles: OfFile, request: Request, *, n: int | None, bin: str | None, as_json: bool
) -> None:
    """Read all puzzles before the model is loaded, and ask them."""
    from canvaslm.eval.grids import Grids, suite_of
    from canvaslm.tasks.sudoku_files import read_puzzles

    if n is not None and n < 1:
        raise ParameterError(f"--n must be at least 1, got {n}")
    how = puzzles.how(request.asking, rows=request.source.model is None)
    suite = suite_of(chosen(read_puzzles(file, most=n), bin))
    asked = {name: getattr(how, name) for name in ("form", "pins", "alone", "sighted")}
    carry_out(
        request,
        lambda: [suite],
        asked={"tasks": [suite.name], "n": n, "bin": bin, "file": str(file), **asked},
        as_json=as_json,
        local=lambda lm: Grids(lm=lm, how=how),
    )


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
