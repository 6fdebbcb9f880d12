"""What the bodies of all text endpoints have in common: strict JSON, and how an answer is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from canvaslm.server.errors import ApiError

DEEPEST = 64
HUGE = 2**63

Effort = Literal["reference", "balanced", "fast", "quality"]
ReasoningEffort = Literal["none", "minimal", "instant", "low", "medium", "high", "xhigh", "max"]
Seed = Annotated[int, Field(ge=0, lt=HUGE)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[Number, Field(gt=0, le=1)]
Penalty = Annotated[Number, Field(ge=-2, le=2)]
Count = Annotated[int, Field(ge=1, lt=HUGE)]
Text = Annotated[str, Field(min_length=1)]
TokenId = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,10}$"})]
Words = Annotated[list[Text], Field(max_length=16)]
Word = Text | Annotated[list[Annotated[int, Field(ge=0, lt=HUGE)]], Field(min_length=1)]


class Body(BaseModel):
    """A part of a request: unknown fields are refused by name, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Request(Body):
    """A whole body. Its texts are Unicode without NUL, its numbers finite and of 64 bits."""

    @model_validator(mode="before")
    @classmethod
    def _check_plain(cls, value: Any) -> Any:
        check_plain(value)
        return value


def check_plain(value: object) -> None:
    """Raise ApiError for what JSON text can carry and no endpoint can use, however deep it is."""
    waiting: list[tuple[object, tuple[str, ...]]] = [(value, ())]
    while waiting:
        here, path = waiting.pop()
        if len(path) > DEEPEST:
            raise _refusal(path, f"nests deeper than {DEEPEST} levels: give a flatter document")
        if isinstance(here, dict):
            waiting += [(key, path) for key in here]
            waiting += [(item, (*path, str(key))) for key, item in here.items()]
        elif isinstance(here, list):
            left = [pair for pair in enumerate(here) if not harmless(pair[1])]
            waiting += [(item, (*path, str(place))) for place, item in left]
        else:
            _check_leaf(here, path)


def harmless(value: object) -> bool:
    """Whether a glance shows that it is fit, as it does of most items of long lists."""
    if type(value) is int:
        return -HUGE <= value < HUGE
    return type(value) is str and value.isascii() and "\0" not in value


def _check_leaf(value: object, path: Sequence[str]) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _refusal(path, "holds the character NUL: leave it out")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _refusal(path, "holds a lone surrogate, which is no Unicode text") from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise _refusal(path, "is NaN or infinite, which is no JSON: give a finite number")
    elif isinstance(value, int) and not -HUGE <= value < HUGE:
        raise _refusal(path, "is a number of more than 64 bits: give a smaller one")


def _refusal(path: Sequence[str], message: str) -> ApiError:
    name = ".".join(path).encode(errors="replace").decode()[:200]
    return ApiError(f"{name or 'the body'} {message}", param=name or None, code="invalid_value")


class StreamOptions(Body):
    """What comes in a stream beside the answer."""

    include_usage: bool = Field(
        default=False, description="Whether a last chunk without choices carries the usage."
    )
    include_obfuscation: Literal[False] = Field(
        default=False, description="Only false: chunks are never padded."
    )


class Extensions(Request):
    """Fields beyond OpenAI's that every endpoint of text understands."""

    mode: Literal["diffusion", "ar"] = Field(
        default="diffusion",
        description="How the answer is made: by diffusion, or by the same weights left to right.",
    )
    effort: Effort | None = Field(
        default=None,
        description=(
            'How many passes to spend: "reference" is the published sampler, also when null, but '
            "for hold_settled."
        ),
    )
    max_steps: Count | None = Field(
        default=None, description="Denoising passes a canvas may take at most."
    )
    entropy_bound: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Nats of doubt accepted together in one pass; more is faster and rougher.",
    )
    t_min: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="The temperature of the last pass of a canvas."
    )
    t_max: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="The temperature of the first pass of a canvas."
    )
    top_k: Count | None = Field(
        default=None, description="Tokens are drawn among so many likeliest ones of their place."
    )
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Tokens are drawn among those with this share of the likeliest one's chance.",
    )
    repetition_penalty: Annotated[Number, Field(ge=0.01, le=100)] | None = Field(
        default=None, description="Above 1, tokens that stand elsewhere become less likely; 1: off."
    )
    bad_words: list[Word] | None = Field(
        default=None,
        max_length=1024,
        description="Texts, or lists of token ids, that appear nowhere in the answer.",
    )
    skip_settled: bool = Field(
        default=False,
        description="Whether passes leave out places that have settled; faster, not exact.",
    )
    hold_settled: bool | None = Field(
        default=None,
        description=(
            "Whether the start of a canvas that has settled stays as it is, and leaves a stream at "
            'once instead of with its canvas. When null it does, save with effort "reference", '
            "which is the published sampler to the bit, and where it cannot be."
        ),
    )
    logprobs_kind: Literal["causal", "denoiser", "path", "loo"] | None = Field(
        default=None,
        description="Whose log-probabilities are given; null: those of the model left to right.",
    )
    regex: str | None = Field(
        default=None, description="A pattern in Python's syntax that the whole answer matches."
    )
    choice: list[str] | None = Field(
        default=None, min_length=1, max_length=4096, description="Texts of which the answer is one."
    )
    grammar: str | None = Field(
        default=None, description="A grammar in Lark's notation that the whole answer follows."
    )
    canvas_events: bool | Literal["changes"] = Field(
        default=False,
        description=(
            "Whether a stream also shows each canvas while it is denoised: whole drafts, or, with "
            '"changes", one whole draft of a canvas and then what changed.'
        ),
    )


class Thinking(Body):
    """Whether and how long the model thinks before it answers."""

    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description=(
            '"none" and "minimal" turn thinking off, "low" gives it 256 tokens, "medium" 1024, and '
            '"high" and above all that max_tokens leaves; "instant" is effort "fast" without it.'
        ),
    )
    thinking: bool | None = Field(
        default=None, description="Whether the model thinks before it answers; null: it does not."
    )
    thinking_budget: int | None = Field(
        default=None,
        ge=1,
        lt=HUGE,
        description="Tokens of thought at most; a longer thought is closed there, then answered.",
    )


class Sampling(Extensions):
    """How an answer is drawn, in OpenAI's names."""

    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    temperature: Annotated[Number, Field(ge=0, le=100)] | None = Field(
        default=None,
        description=(
            "0, or from 0.01 to 100: a factor on the schedule of temperatures, 1 when null; 0 "
            "takes the likeliest tokens, as does null left to right."
        ),
    )
    top_p: Share | None = Field(
        default=None,
        description="Tokens are drawn among the fewest with this probability together; 1: off.",
    )
    presence_penalty: Penalty | None = Field(
        default=None, description="From -2 to 2, taken from the logits of tokens that are there."
    )
    frequency_penalty: Penalty | None = Field(
        default=None, description="From -2 to 2, the same for each time that they are there."
    )
    logit_bias: dict[TokenId, Annotated[Number, Field(ge=-100, le=100)]] | None = Field(
        default=None,
        description="Numbers in [-100, 100] by token id, written as a text, added to its logits.",
    )
    stop: Text | Words | None = Field(
        default=None,
        description="Up to 16 texts; the answer ends before the first of them.",
    )
    seed: Seed | None = Field(
        default=None,
        description="The same seed gives the same answer; null draws one, which the reply says.",
    )
    n: int | None = Field(
        default=None, ge=1, le=32, description="How many answers, with the seeds seed, seed + 1..."
    )
    stream: bool | None = Field(
        default=None, description="Whether the answer comes as server-sent events."
    )
    stream_options: StreamOptions | None = Field(
        default=None, description="What comes in the stream beside the answer; needs stream."
    )
    user: str | None = Field(default=None, description="Accepted; changes nothing.")


class PromptDetails(BaseModel):
    """Which tokens of the prompt were known already."""

    cached_tokens: int = Field(description="Tokens found in the cache of earlier prompts.")


class CompletionDetails(BaseModel):
    """What the tokens of the answer were spent on."""

    reasoning_tokens: int = Field(description="Tokens of thoughts, without their control tokens.")


class Usage(BaseModel):
    """What a request took."""

    prompt_tokens: int = Field(description="Tokens of the prompt.")
    completion_tokens: int = Field(description="Tokens of all answers, closing ones included.")
    total_tokens: int = Field(description="Both together.")
    prompt_tokens_details: PromptDetails = Field(description="Of the prompt's tokens.")
    completion_tokens_details: CompletionDetails = Field(description="Of the answers' tokens.")
    steps: int = Field(description="Denoising passes; left to right, passes that made a token.")
    canvases: int = Field(description="Canvases that were settled.")
    tokens_per_forward: float = Field(description="Completion tokens over steps.")


class Answered(BaseModel):
    """What the replies to a chat and to a completion have in common."""

    id: str = Field(description="An id that no other response has.")
    created: int = Field(description="When it was begun, in seconds since 1970.")
    model: str = Field(description="The model's id.")
    system_fingerprint: str = Field(description="Model, version and kernels, hashed.")
    seed: int = Field(description="With it the same request gives the same answer.")
    usage: Usage = Field(description="What the answers took.")
