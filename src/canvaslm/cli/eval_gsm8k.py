"""`canvaslm eval gsm8k`: questions of a file that the user has, with numbers for answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canvaslm.cli import eval_options, options


def gsm8k(
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--file", help="JSONL with `question` and `answer`, as openai/grade-school-math has it."
        ),
    ],
    n: Annotated[
        int | None,
        typer.Option("--n", help="The first so many questions.", show_default="all"),
    ] = None,
    seed: Annotated[int, typer.Option(help="That of the answers.")] = 0,
    mode: eval_options.Mode = "diffusion",
    budget: eval_options.LongBudget,
    source: eval_options.Source,
    kept: eval_options.Kept,
    as_json: options.Json = False,
) -> None:
    """Right answers to GSM8K's questions: the last number is compared. Nothing is downloaded."""
    from canvaslm.cli.eval_run import Request, carry_out
    from canvaslm.eval.gsm8k import read_gsm8k

    request = Request(mode=mode, seed=seed, budget=budget, source=source, kept=kept)
    suite = read_gsm8k(file, n=n)
    carry_out(
        request,
        lambda: [suite],
        asked={"tasks": [suite.name], "n": n, "file": str(file)},
        as_json=as_json,
    )
