"""The parts that texts of a conversation are given in, to responses and decisions alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from canvaslm.server.schema.common import Body

Unread = Annotated[Any, Field(description="Accepted; changes nothing.")]
Phase = Literal["commentary", "final_answer"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class InputText(Body):
    """Text to read. A cache breakpoint changes nothing: whole prefixes are cached here."""

    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: dict[str, Any] | None = Field(
        default=None, description="Accepted; changes nothing."
    )


class GivenText(Body):
    """Text of an earlier answer."""

    type: Literal["output_text"]
    text: str
    annotations: Unread = None
    logprobs: Unread = None


class GivenRefusal(Body):
    """A refusal in an earlier answer."""

    type: Literal["refusal"]
    refusal: str
