"""`/v1/fim/completions`: a gap between a prompt and a suffix, as editors ask for it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from canvaslm.engine.rewriting.rewriter import MAX_GAP
from canvaslm.server.schema.common import HUGE, Sampling, Seed, Usage
from canvaslm.server.schema.unserved import Unserved


class FimBody(Sampling):
    """The text between `prompt` and `suffix`, at most one canvas long.

    The length is found: `max_tokens` is a bound, and what is beyond a canvas is as if it were not
    asked for. `stop` cuts what was written.
    """

    prompt: str = Field(description="What stands before the gap.")
    suffix: str | None = Field(default=None, description="What stands after it.")
    max_tokens: int | None = Field(
        default=None, ge=1, lt=HUGE, description=f"The most tokens of the gap; null: {MAX_GAP}."
    )
    max_completion_tokens: int | None = Field(
        default=None, ge=1, lt=HUGE, description="The same as max_tokens; give one of them."
    )
    random_seed: Seed | None = Field(
        default=None, description="The same as seed; give one of them."
    )
    n: Literal[1] | None = Field(default=None, description="Only 1: ask again with another seed.")
    mode: Literal["diffusion"] = Field(default="diffusion", description='Only "diffusion".')
    min_tokens: Unserved = None
    logprobs: Unserved = None
    logprobs_kind: Unserved = None
    echo: Literal[False] | None = Field(default=None, description="Only false.")


class FimMessage(BaseModel):
    """The text once more, where Codestral's clients read it."""

    role: Literal["assistant"] = "assistant"
    content: str


class FimChoice(BaseModel):
    """What stands in the gap; "length" where it takes all the tokens it may."""

    index: Literal[0] = 0
    text: str
    message: FimMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class FimReply(BaseModel):
    """A filled gap. With `seed` the same request gives the same text."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[FimChoice]
    usage: Usage
    seed: int
