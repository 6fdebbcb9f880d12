"""Options of evaluations that are runs: of tasks, and of a user's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from canvaslm.cli import options, parameters
from canvaslm.errors import ParameterError

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


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What answers may take."""

    batch: Batch = None
    max_tokens: MaxTokens = 256
    effort: parameters.Effort = None


@dataclass(frozen=True, kw_only=True)
class LongBudget(Budget):
    """The same, for answers with their reasons."""

    max_tokens: MaxTokens = 512


@dataclass(frozen=True, kw_only=True)
class Source(options.Source):
    """A checkpoint, or a model behind a server.

    Raises ParameterError for what would have no effect on a server.
    """

    model: Model = None

    def __post_init__(self) -> None:
        if self.remote and (self.device, self.dtype) != ("auto", "auto"):
            raise ParameterError(
                "--device and --dtype would have no effect on a server: leave them out"
            )
        if self.remote and self.adapter is not None:
            raise ParameterError(
                "--adapter goes on a model that is loaded here, not on a server's: let the server "
                "have it (canvaslm serve --adapter NAME=FOLDER), and ask for "
                f"--model {self.url}#NAME"
            )

    @property
    def remote(self) -> bool:
        """Whether the model is behind a server."""
        return (self.model or "").startswith(("http://", "https://"))

    @property
    def url(self) -> str:
        """The server's, without the name of a model."""
        return (self.model or "").partition("#")[0]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run leaves behind. Raises ParameterError for a plot that cannot be drawn."""

    out: Out = None
    resume: Resume = False
    plot: Plot = None

    def __post_init__(self) -> None:
        if self.resume and self.out is None:
            raise ParameterError("--resume goes on with a run in a folder: name it with --out")
        if self.plot is not None:
            from canvaslm.eval.pages.plot import check

            check(self.plot)
