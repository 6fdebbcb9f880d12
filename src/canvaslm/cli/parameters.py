"""The request parameters that the command line offers, and how texts become their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.control.language.compile import Constraint

Effort = Annotated[
    Literal["reference", "balanced", "fast", "quality"] | None,
    typer.Option(help="How many steps to spend.", show_default="reference"),
]
Regex = Annotated[
    str | None, typer.Option(help="The answer matches this pattern.", show_default=False)
]
Choices = Annotated[
    list[str] | None,
    typer.Option("--choice", help="It is one of these; may be repeated.", show_default=False),
]
Schema = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="It is JSON of this JSON schema.", show_default=False),
]

Temperature = Annotated[
    float | None,
    typer.Option(
        help="A factor on the schedule; 0 takes the likeliest. Of --mode ar: the softmax's.",
        show_default=False,
    ),
]
TopK = Annotated[
    int | None, typer.Option(help="Draw among so many likeliest tokens.", show_default=False)
]
TopP = Annotated[
    float | None,
    typer.Option(help="Draw among the likeliest of this probability.", show_default=False),
]
MinP = Annotated[
    float | None,
    typer.Option(help="Draw what has this share of the likeliest's chance.", show_default=False),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(help="Denoising steps a canvas may take.", show_default="the checkpoint's"),
]
EntropyBound = Annotated[
    float | None,
    typer.Option(
        help="Nats of doubt accepted together in a step.", show_default="the checkpoint's"
    ),
]
HoldSettled = Annotated[
    bool,
    typer.Option("--hold-settled", help="Say the start of a canvas once it has settled."),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(help="End the answer before this text; may be repeated.", show_default=False),
]
BadWord = Annotated[
    list[str] | None,
    typer.Option(help="A text that must not appear; may be repeated.", show_default=False),
]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOKEN=VALUE",
        help="Added to a token's logits; an id or the text of one token. May be repeated.",
        show_default=False,
    ),
]
RepetitionPenalty = Annotated[
    float | None, typer.Option(help="Above 1: repeat less.", show_default=False)
]
PresencePenalty = Annotated[
    float | None, typer.Option(help="On tokens that are there already.", show_default=False)
]
FrequencyPenalty = Annotated[
    float | None, typer.Option(help="On tokens, as often as they are there.", show_default=False)
]
Count = Annotated[int, typer.Option("--n", help="How many answers, with seeds in a row.")]
Logprobs = Annotated[
    bool, typer.Option("--logprobs", help="Log-probabilities of tokens, in the --json document.")
]
TopLogprobs = Annotated[
    int | None, typer.Option(help="The likeliest tokens beside each.", show_default=False)
]
LogprobsKind = Annotated[
    Literal["causal", "denoiser", "path", "loo"] | None,
    typer.Option(help="Who gives them.", show_default="causal"),
]
PromptLogprobs = Annotated[
    bool, typer.Option("--prompt-logprobs", help="Those of the prompt, too.")
]


def read_bias(pairs: Sequence[str] | None) -> Mapping[int | str, float] | None:
    """TOKEN=VALUE, cut at the last =; a TOKEN of digits is an id. Raises ParameterError."""
    if not pairs:
        return None
    bias: dict[int | str, float] = {}
    for pair in pairs:
        token, mark, value = pair.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            mark = ""
        if not mark or not token:
            raise ParameterError(
                f"--logit-bias is TOKEN=VALUE, such as 42=-5 or ' the'=1.5, got {pair!r}"
            )
        bias[int(token) if token.isascii() and token.isdigit() else token] = number
    return bias


def read_constraint(
    regex: str | None, choices: Sequence[str] | None, schema: Path | None
) -> Constraint | None:
    """The one constraint that options describe. Raises ParameterError for two, or a schema file
    that cannot be read, and ConstraintError for what is no constraint."""
    from canvaslm.control.language.constraints import Choice, JsonSchema, Regex

    if sum(given is not None for given in (regex, choices or None, schema)) > 1:
        raise ParameterError("--regex, --choice and --schema exclude each other: give one of them")
    if regex is not None:
        return Regex(regex)
    if choices:
        return Choice(choices)
    if schema is None:
        return None
    try:
        return JsonSchema(schema.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as failure:
        raise ParameterError(f"--schema: {schema} cannot be read: {failure}") from None
