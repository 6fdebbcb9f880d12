"""`/v1/tokenize` and `/v1/detokenize`: texts and messages as the model's tokens, and back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from canvaslm.server.schema.common import Request

MOST_TOKENS = 1 << 20


class TokenizeBody(Request):
    """Either `text`, or `messages` as a chat would show them to the model."""

    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    text: str | None = Field(default=None, description="Read as it stands.")
    messages: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=100_000,
        description="In the shape of /v1/chat/completions.",
    )
    tools: list[dict[str, Any]] | None = Field(
        default=None, max_length=1024, description="Declared with the messages."
    )
    thinking: bool = Field(default=False, description="Whether the messages ask for thinking.")
    add_special: bool = Field(
        default=False, description="Of a text: whether the opening token comes first."
    )
    parse_special: bool = Field(
        default=False,
        description='Of a text: whether "<turn|>" and the like become control tokens.',
    )
    with_pieces: bool = Field(default=False, description="Whether the reply has `pieces`.")


class TokenizeReply(BaseModel):
    """`pieces`, if asked for, are the tokens' texts; a part of a character shows as U+FFFD."""

    tokens: list[int]
    count: int
    max_model_len: int
    pieces: list[str] | None = None


class DetokenizeBody(Request):
    """Tokens to read."""

    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    tokens: list[int] = Field(max_length=MOST_TOKENS, description="Their ids.")
    special: bool = Field(default=False, description="Whether control tokens are spelled out.")


class DetokenizeReply(BaseModel):
    """Bytes that are no whole characters are U+FFFD."""

    text: str
