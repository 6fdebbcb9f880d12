"""What a caller may ask of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from canvaslm.control.language.compile import Constraint
from canvaslm.engine.checks import (
    check_bias,
    check_chosen,
    check_flag,
    check_integer,
    check_number,
    check_stops,
    check_within,
    check_words,
)
from canvaslm.errors import ParameterError

Mode = Literal["diffusion", "ar"]
MODES: tuple[str, ...] = get_args(Mode)

Effort = Literal["reference", "balanced", "fast", "quality"]
EFFORTS: tuple[str, ...] = get_args(Effort)

LogprobKind = Literal["causal", "denoiser", "path", "loo"]
LOGPROB_KINDS: tuple[str, ...] = get_args(LogprobKind)

SEEDS = 2**63
MOST_TOP_LOGPROBS = 20
COLDEST, HOTTEST = 0.01, 100.0
DIFFUSION_ONLY = (
    "effort",
    "max_steps",
    "entropy_bound",
    "t_min",
    "t_max",
    "stability",
    "confidence",
    "skip_settled",
    "hold_settled",
)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of one request. None means: what the checkpoint's generation settings say.

    max_tokens     longest answer, in tokens, the closing one included
    seed           0 to 2**63 - 1; the same seed gives the same text. None draws one; the result
                   says which
    thinking       let the model think before it answers; the thoughts are in `Result.thoughts`
    tools          function declarations in OpenAI's shape that the model may call; the calls are
                   in `Result.tool_calls`
    tool_choice    "required": the answer is one call of a tool, and its arguments match its schema;
                   the name of a tool: a call of that one. None: the model decides
    n              how many answers, with the seeds seed, seed + 1 and so on; all of them are in
                   `Result.choices`
    stop           up to 16 texts: the answer ends before the first of them, wherever tokens and
                   canvases end. Thoughts and tool calls are not searched
    constraint     what the answer must match from its first token to its last
    temperature    diffusion: a factor on t_min and t_max; at 0 candidates are the likeliest tokens.
                   Left to right: of the softmax; None and 0 take the likeliest token
    top_k, top_p, min_p
                   tokens are drawn among the likeliest only: so many, with so much probability
                   together, with at least this share of the likeliest one's probability
    logit_bias     a number in [-100, 100] to add to a token's logits; tokens as ids, or as texts
    bad_words      texts, or lists of token ids, that must not appear, however they are cut into
                   tokens
    repetition_penalty, presence_penalty, frequency_penalty
                   on tokens that stand elsewhere in the answer: 1, 0 and 0 change nothing; see
                   `control.penalties.Penalties`
    logprobs       the log-probability of every token, in `Result.logprobs`
    logprobs_kind  "causal" (the same weights left to right; when None), "denoiser" (the last step
                   of a canvas), "path" (the step at which a token came to stay), "loo" (each token
                   given all the others)
    prompt_logprobs
                   causal ones of the prompt, in `Result.prompt_logprobs`
    top_logprobs   so many of the likeliest tokens beside each of these, up to 20
    effort         diffusion: "reference", the published sampler, also when None; "fast" and
                   "balanced" take fewer passes, "quality" more. What is set below goes before it
    max_steps      diffusion: denoising passes a canvas may take at most
    entropy_bound  diffusion: nats of doubt accepted together in one pass; more is faster
    t_min, t_max   diffusion: the temperature falls from t_max to t_min over max_steps
    stability      diffusion: steps for which the likeliest canvas must not change; 0 or more
    confidence     diffusion: mean entropy in nats below which a stable canvas is committed
    skip_settled   diffusion: passes leave out positions that have settled, all but every fourth;
                   faster late in a canvas, and an approximation
    hold_settled   diffusion: the start of a canvas that has settled does not change any more and
                   leaves a stream as text at once; an approximation

    Raises ParameterError for a value of the wrong type or out of range.
    """

    max_tokens: int = 256
    seed: int | None = None
    thinking: bool = False
    tools: Sequence[Mapping[str, Any]] | None = None
    tool_choice: str | None = None
    n: int = 1
    stop: str | Sequence[str] | None = None
    constraint: Constraint | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    logit_bias: Mapping[int | str, float] | None = None
    bad_words: Sequence[str | Sequence[int]] | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool = False
    logprobs_kind: LogprobKind | None = None
    prompt_logprobs: bool = False
    top_logprobs: int | None = None
    effort: Effort | None = None
    max_steps: int | None = None
    entropy_bound: float | None = None
    t_min: float | None = None
    t_max: float | None = None
    stability: int | None = None
    confidence: float | None = None
    skip_settled: bool = False
    hold_settled: bool = False

    def __post_init__(self) -> None:
        check_integer("max_tokens", self.max_tokens, least=1)
        check_integer("n", self.n, least=1)
        for name in ("thinking", "logprobs", "prompt_logprobs", "skip_settled", "hold_settled"):
            check_flag(name, getattr(self, name))
        if self.seed is not None:
            check_integer("seed", self.seed, least=0, below=SEEDS)
        for name, least in (("max_steps", 1), ("stability", 0), ("top_k", 1)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least=least)
        for name in ("t_min", "t_max"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        for name in ("entropy_bound", "confidence", "top_p", "repetition_penalty"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above_zero=True)
        ranges: dict[str, tuple[float, float]] = {
            "top_p": (0, 1),
            "min_p": (0, 1),
            "repetition_penalty": (0.01, 100),
        }
        ranges |= {"presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
        for name, (low, high) in ranges.items():
            if getattr(self, name) is not None:
                check_within(name, getattr(self, name), low, high)
        for name, words in (("effort", EFFORTS), ("logprobs_kind", LOGPROB_KINDS)):
            if getattr(self, name) is not None:
                check_chosen(name, getattr(self, name), words)
        self._check_temperature()
        self._check_logprobs()
        self._check_steering()

    def _check_temperature(self) -> None:
        if self.temperature is None:
            return
        check_number("temperature", self.temperature)
        if self.temperature and not COLDEST <= self.temperature <= HOTTEST:
            raise ParameterError(
                f"temperature must be 0 or in [{COLDEST}, {HOTTEST:g}], got {self.temperature}"
            )

    def _check_logprobs(self) -> None:
        if self.top_logprobs is not None:
            check_integer("top_logprobs", self.top_logprobs, least=0, below=MOST_TOP_LOGPROBS + 1)
            if not (self.logprobs or self.prompt_logprobs):
                raise ParameterError(
                    "top_logprobs would have no effect without logprobs or prompt_logprobs: set "
                    "one of them, or leave it out"
                )
        if self.logprobs_kind is not None and not self.logprobs:
            raise ParameterError(
                "logprobs_kind would have no effect without logprobs: set logprobs, or leave it out"
            )
        if self.hold_settled and self.logprobs_kind == "denoiser":
            raise ParameterError(
                'logprobs_kind="denoiser" is about the last step of a canvas, which is certain of '
                'all that hold_settled holds: use "path", which is about the step before that, or '
                "leave hold_settled out"
            )

    def _check_steering(self) -> None:
        if self.stop is not None:
            check_stops(self.stop)
        if self.logit_bias is not None:
            check_bias(self.logit_bias)
        if self.bad_words is not None:
            check_words(self.bad_words)
        if self.tool_choice is not None:
            self._check_tool_choice()
        if self.constraint is None:
            return
        if not isinstance(self.constraint, Constraint):
            raise ParameterError(
                "constraint must be a Regex, Choice, JsonSchema or the like, got "
                f"{self.constraint!r}"
            )
        if self.thinking:
            raise ParameterError(
                "thinking would have no effect with a constraint, which holds from the first token "
                "on and leaves no room for thoughts: leave one out"
            )

    def _check_tool_choice(self) -> None:
        if not isinstance(self.tool_choice, str):
            raise ParameterError(
                f'tool_choice must be "required" or the name of a tool, got {self.tool_choice!r}'
            )
        if not self.tools:
            raise ParameterError(
                f"tool_choice={self.tool_choice!r} would have no effect without tools: declare some"
            )
        if self.constraint is not None or self.thinking:
            raise ParameterError(
                "tool_choice is a constraint on the whole answer, so neither another constraint "
                "nor thinking can stand beside it: leave one out"
            )

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def greedy(self) -> bool:
        """Whether candidates are the likeliest tokens of a canvas, not drawn."""
        return self.temperature == 0 or self.top_k == 1

    def check_mode(self, mode: str) -> None:
        """Raise ParameterError for an unknown mode, or a parameter that has no effect in it."""
        check_chosen("mode", mode, MODES)
        if mode == "diffusion":
            return
        given = [
            f.name
            for f in fields(self)
            if f.name in DIFFUSION_ONLY and getattr(self, f.name) not in (None, False)
        ]
        if given:
            raise ParameterError(
                f"{', '.join(given)} would have no effect with mode={mode!r}: leave it out"
            )
        filters = [n for n in ("top_k", "top_p", "min_p") if getattr(self, n) is not None]
        if filters and self.temperature is None:
            raise ParameterError(
                f"{', '.join(filters)} would have no effect with mode={mode!r} and no temperature, "
                "which takes the likeliest token: set temperature"
            )
        if self.logprobs_kind not in (None, "causal"):
            raise ParameterError(
                f"logprobs_kind={self.logprobs_kind!r} is about canvases, and mode={mode!r} has "
                'none: use "causal"'
            )
