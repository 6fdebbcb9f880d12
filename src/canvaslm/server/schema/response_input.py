"""The input of `/v1/responses`: a text, or the items of a conversation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from canvaslm.server.schema.common import Body
from canvaslm.server.schema.parts import GivenRefusal, GivenText, InputText, ItemStatus, Phase

MOST_ITEMS = 9_999


def tag_of(value: object) -> str | None:
    """The tag of a part or an item; marked, so that no field has its name."""
    if isinstance(value, dict):
        kind = value.get("type") or ("message" if "role" in value else None)
    else:
        kind = getattr(value, "type", None) or "message"
    return f"<{kind}>" if isinstance(kind, str) else None


Part = Annotated[
    Annotated[InputText, Tag("<input_text>")]
    | Annotated[GivenText, Tag("<output_text>")]
    | Annotated[GivenRefusal, Tag("<refusal>")],
    Discriminator(
        tag_of,
        custom_error_type="unserved_part",
        custom_error_message=(
            "a part must have the type input_text, output_text or refusal: images, sound and files "
            "are not served"
        ),
    ),
]


def kind_of(value: object) -> str | None:
    """The tag of a text, or of a list."""
    return "<text>" if isinstance(value, str) else "<list>" if isinstance(value, list) else None


Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[Part], Tag("<list>")],
    Discriminator(
        kind_of,
        custom_error_type="content_type",
        custom_error_message="it must be a text, or a list of parts",
    ),
]


class GivenMessage(Body):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    type: Literal["message"] | None = None
    id: str | None = Field(default=None, description="Accepted; changes nothing.")
    status: ItemStatus | None = Field(default=None, description="Accepted; changes nothing.")
    phase: Phase | None = Field(default=None, description="Accepted; changes nothing.")


class GivenCall(Body):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    arguments: str = Field(description="The JSON text of an object.")
    id: str | None = Field(default=None, description="Accepted; changes nothing.")
    status: ItemStatus | None = Field(default=None, description="Accepted; changes nothing.")
    namespace: None = None
    caller: None = None


class GivenOutput(Body):
    """What a function gave back."""

    type: Literal["function_call_output"]
    call_id: Annotated[str, Field(min_length=1)]
    output: Content
    id: str | None = Field(default=None, description="Accepted; changes nothing.")
    status: ItemStatus | None = Field(default=None, description="Accepted; changes nothing.")
    name: str | None = Field(default=None, description="Accepted: the call says it.")
    namespace: None = None
    caller: None = None


class GivenThought(Body):
    """A text of a thought, or of its summary."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class GivenReasoning(Body):
    """What the model thought earlier. Accepted, and not shown to it again, as it was trained."""

    type: Literal["reasoning"]
    summary: list[GivenThought] = Field(default_factory=list)
    content: list[GivenThought] | None = None
    id: str | None = Field(default=None, description="Accepted; changes nothing.")
    status: ItemStatus | None = Field(default=None, description="Accepted; changes nothing.")
    encrypted_content: None = Field(default=None, description="Refused unless null.")


InputItem = Annotated[
    Annotated[GivenMessage, Tag("<message>")]
    | Annotated[GivenCall, Tag("<function_call>")]
    | Annotated[GivenOutput, Tag("<function_call_output>")]
    | Annotated[GivenReasoning, Tag("<reasoning>")],
    Discriminator(
        tag_of,
        custom_error_type="unserved_item",
        custom_error_message=(
            "an item must be a message, function_call, function_call_output or reasoning: others "
            "are not served, nor references to items, as nothing is kept here"
        ),
    ),
]


Items = Annotated[list[InputItem], Field(min_length=1, max_length=MOST_ITEMS)]
Input = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Items, Tag("<list>")],
    Discriminator(
        kind_of,
        custom_error_type="input_type",
        custom_error_message="it must be a text, or a list of items",
    ),
    Field(description="What the model answers: a text, or a conversation."),
]
