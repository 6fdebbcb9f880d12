"""`/v1/completions`: the body of a request, and the response."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from canvaslm.server.schema.common import HUGE, Answered, Sampling

MOST_ANSWERS = 32
MOST_TOP = 20

Ids = Annotated[list[Annotated[int, Field(ge=0, lt=HUGE)]], Field(min_length=1)]


class CompletionBody(Sampling):
    """Texts to go on with, as they are: no chat template is put around them."""

    prompt: str | Ids | list[str] | list[Ids] = Field(
        description=(
            "A text, the ids of its tokens, or a list of either, each of which is answered; texts "
            "come after the token that begins one."
        )
    )
    suffix: str | None = Field(
        default=None, description="What comes after the answer, which then fills the gap."
    )
    max_tokens: int | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description=(
            "Longest answer in tokens; null: 1024, or what the context has room for if that is "
            "less, and 64 before a suffix. With 0 nothing is written."
        ),
    )
    echo: bool | None = Field(
        default=None, description="Whether the prompt stands before the answer, scored as it is."
    )
    logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MOST_TOP,
        description="Tokens have log-probabilities, and so many of the likeliest beside each.",
    )
    best_of: int | None = Field(
        default=None, ge=1, description="Only n: all that is drawn is given."
    )


class OldLogprobs(BaseModel):
    """Log-probabilities as this endpoint has them: lists with one entry for each token."""

    tokens: list[str] = Field(description="Texts; bytes that are no character as bytes:\\xff.")
    token_logprobs: list[float | None] = Field(
        description="In nats; null for the first token of a prompt, which nothing predicts."
    )
    top_logprobs: list[dict[str, float] | None] | None = Field(
        description="The likeliest tokens and this one; null where logprobs is 0."
    )
    text_offset: list[int] = Field(description="Where each token begins, in characters.")


class CompletionChoice(BaseModel):
    """One of the answers."""

    index: int = Field(description="Its number: n answers for each prompt, in order.")
    text: str = Field(description="The text, behind the prompt where echo is set.")
    logprobs: OldLogprobs | None = Field(description="Null where nobody asked.")
    finish_reason: Literal["stop", "length"] = Field(description="Why it ended.")
    notes: list[str] | None = Field(
        default=None, description="What a reader should know: that it repeats itself."
    )


class Completion(Answered):
    """The answers to one or more prompts."""

    object: Literal["text_completion"] = Field(description="What this is.")
    choices: list[CompletionChoice] = Field(description="The answers.")
