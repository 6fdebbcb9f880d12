"""`/v1/edits`: a span of a text written anew, or a whole text repaired."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from canvaslm.engine.rewriting.rewriter import DOUBT, ROUNDS, STRENGTH
from canvaslm.server.schema.common import Number, Sampling, Usage
from canvaslm.server.schema.unserved import Unserved


class EditsBody(Sampling):
    """Write a span of `text` anew from what it says; all outside of it comes back as it is.

    The span is given as `span`, or as a text that stands in `text` exactly once. Characters are
    Unicode code points, as Python counts them; JavaScript counts those above U+FFFF twice.

    With `repair` there is no span: what the model doubts is drafted anew, and kept if it makes the
    text likelier.
    """

    repair: bool = Field(default=False, description="Whether the whole text is to be repaired.")
    mode: Literal["diffusion"] = Field(default="diffusion", description='Only "diffusion".')
    text: str = Field(min_length=1, description="The whole text.")
    span: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="[start, end] in characters (code points) of the text, the end not included.",
    )
    find: str | None = Field(
        default=None, min_length=1, description="The span as a text that is there exactly once."
    )
    instruction: str | None = Field(
        default=None, description="What to change. With it the span may become longer or shorter."
    )
    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description=f"The share of the span that starts as noise; null: {STRENGTH}."
    )
    prompt: str | None = Field(default=None, description="Repair: what the text is an answer to.")
    doubt: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description=f"Repair: tokens below minus so many nats are in doubt; null: {DOUBT:g}.",
    )
    rounds: Annotated[int, Field(ge=1, le=32)] | None = Field(
        default=None, description=f"Repair: drafts of each canvas at most; null: {ROUNDS}."
    )
    n: Literal[1] | None = Field(default=None, description="Only 1: ask again with another seed.")
    stop: Unserved = None
    logprobs_kind: Unserved = None


class Change(BaseModel):
    """What stood at characters `start` to `end` of the text, and what stands there now."""

    start: int
    end: int
    before: str
    after: str


class EditReply(BaseModel):
    """A span written anew.

    text      what the span says now; `before` is what it said
    document  the whole text with it
    span      where it stands in `document`
    noised    so many of its tokens started as noise
    """

    id: str
    object: Literal["edit"] = "edit"
    created: int
    model: str
    text: str
    before: str
    document: str
    span: list[int]
    noised: int
    seed: int
    usage: Usage


class RepairReply(BaseModel):
    """A text repaired; `logprob` of the whole text never falls."""

    id: str
    object: Literal["repair"] = "repair"
    created: int
    model: str
    document: str
    changes: list[Change]
    logprob_before: float
    logprob: float
    rounds: int
    seed: int
    usage: Usage
