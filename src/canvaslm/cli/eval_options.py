"""Options of evaluations that are runs: of tasks, and of a user's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Mode = Annotated[
    Literal["diffusion", "ar", "one-shot"],
    typer.Option(help="ar: the same weights left to right; one-shot: one step per canvas."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A checkpoint folder, a hub id, or a server as http://host:8000/v1, behind # its "
        "model where it has several; without it, the embedded model.",
        show_default=False,
    ),
]
More = Annotated[
    list[str] | None,
    typer.Argument(help="Further tasks, as many as wanted.", show_default=False),
]
Seed = Annotated[int, typer.Option(help="Chooses the cases, and is that of the answers.")]
Bin = Annotated[
    str | None, typer.Option("--bin", "--bins", help="Only cases of this bin.", show_default=False)
]
MaxTokens = Annotated[int, typer.Option(help="Longest answer, in tokens.")]
Batch = Annotated[
    int | None, typer.Option(help="Requests at a time.", show_default="1, or 4 to a server")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="A folder for the run: each case as it comes, and a report at the end.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in OUT, where there is one.")
]
Plot = Annotated[
    Path | None,
    typer.Option(help="Draw the scores into a .png, .svg or .pdf.", show_default=False),
]
