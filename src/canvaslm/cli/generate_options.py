"""Options of `canvaslm generate`: the parameters of one request, in the groups they come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canvaslm.cli import options, parameters
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import Params
    from canvaslm.control.language.compile import Constraint


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How many, how long, and how they are written."""

    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256
    seed: options.Seed = None
    mode: options.Mode = "diffusion"
    n: parameters.Count = 1
    stop: parameters.Stop = None

    def given(self) -> dict[str, Any]:
        """The fields of `Params` that they set; the mode is none."""
        return {
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "n": self.n,
            "stop": self.stop or None,
        }


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """What the answer must match."""

    regex: parameters.Regex = None
    choice: parameters.Choices = None
    schema: parameters.Schema = None

    def constraint(self) -> Constraint | None:
        """Raises what `read_constraint` does."""
        return parameters.read_constraint(self.regex, self.choice, self.schema)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How tokens are drawn."""

    effort: parameters.Effort = None
    temperature: parameters.Temperature = None
    top_k: parameters.TopK = None
    top_p: parameters.TopP = None
    min_p: parameters.MinP = None
    logit_bias: parameters.LogitBias = None
    bad_word: parameters.BadWord = None
    repetition_penalty: parameters.RepetitionPenalty = None
    presence_penalty: parameters.PresencePenalty = None
    frequency_penalty: parameters.FrequencyPenalty = None

    def given(self) -> dict[str, Any]:
        """The fields of `Params` that they set. Raises ParameterError for a bias that is none."""
        fields = vars(self).copy()
        fields["logit_bias"] = parameters.read_bias(self.logit_bias)
        fields["bad_words"] = fields.pop("bad_word") or None
        return fields


@dataclass(frozen=True, kw_only=True)
class Told:
    """Which log-probabilities are told."""

    logprobs: parameters.Logprobs = False
    top_logprobs: parameters.TopLogprobs = None
    logprobs_kind: parameters.LogprobsKind = None
    prompt_logprobs: parameters.PromptLogprobs = False

    def check(self, *, as_json: bool) -> None:
        """Raises ParameterError where they would not be shown."""
        if (self.logprobs or self.prompt_logprobs) and not as_json:
            raise ParameterError("log-probabilities are shown in the document of --json: add it")


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """How a canvas is denoised, and whether that is shown."""

    max_steps: parameters.MaxSteps = None
    entropy_bound: parameters.EntropyBound = None
    hold_settled: parameters.HoldSettled = False
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the canvas condensing, on the terminal.")
    ] = False

    def given(self) -> dict[str, Any]:
        """The fields of `Params` that they set."""
        return {
            "max_steps": self.max_steps,
            "entropy_bound": self.entropy_bound,
            "hold_settled": self.hold_settled,
        }

    def check(self, answers: Answers) -> None:
        """Raises ParameterError for what cannot be watched."""
        if self.watch and answers.mode == "ar":
            raise ParameterError("--watch shows canvases, and --mode ar has none: leave one out")
        if self.watch and answers.n > 1:
            raise ParameterError("--watch shows one answer, and --n asks for more: leave one out")


def params_of(
    answers: Answers, bounded: Bounded, drawn: Drawn, told: Told, canvas: Canvas
) -> Params:
    """All of them together. Raises ParameterError for what cannot be."""
    from canvaslm import Params

    return Params(
        constraint=bounded.constraint(),
        **answers.given(),
        **drawn.given(),
        **vars(told),
        **canvas.given(),
    )
