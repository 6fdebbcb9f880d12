"""`canvaslm eval gsm8k`: questions of a file that the user has, with numbers for answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from canvaslm.cli import eval_options, options, parameters


def gsm8k(
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
    batch: eval_options.Batch = None,
    max_tokens: eval_options.MaxTokens = 512,
    effort: parameters.Effort = None,
    model: eval_options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    out: eval_options.Out = None,
    resume: eval_options.Resume = False,
    plot: eval_options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """Right answers to GSM8K's questions: the last number is compared. Nothing is downloaded."""
    from canvaslm.cli.eval_run import Request, carry_out
    from canvaslm.eval.gsm8k import read_gsm8k

    request = Request(
        model=model,
        device=device,
        dtype=dtype,
        mode=mode,
        seed=seed,
        max_tokens=max_tokens,
        effort=effort,
        batch=batch,
        out=out,
        resume=resume,
        plot=plot,
    )
    suite = read_gsm8k(file, n=n)
    carry_out(
        request,
        lambda: [suite],
        asked={"tasks": [suite.name], "n": n, "file": str(file)},
        as_json=as_json,
    )
