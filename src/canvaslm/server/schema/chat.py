"""`/v1/chat/completions`: the body of a request, and the response."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from canvaslm.server.errors import ApiError
from canvaslm.server.schema.common import Answered, Body, Sampling, Thinking
from canvaslm.server.schema.unserved import Unserved

MOST_MESSAGES = 10_000
MOST_TOOLS = 128
MOST_TOP = 20

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Length = Annotated[int, Field(ge=1, lt=2**31)]


def only_text(content: object) -> object:
    """Raise ApiError for parts that are no text: nothing is fetched, seen or heard."""
    if isinstance(content, list):
        for place, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind not in ("text", "refusal"):
                raise ApiError(
                    f"part {place} of a message's content is of type {kind[:40]!r}, and only text "
                    "can be read here; no image, audio or file is fetched: give text parts",
                    param="messages",
                    code="unsupported_content",
                )
    return content


class TextPart(Body):
    """A piece of text."""

    type: Literal["text"]
    text: str


class RefusalPart(Body):
    """What an assistant said when it refused."""

    type: Literal["refusal"]
    refusal: str


Content = Annotated[str | list[TextPart], BeforeValidator(only_text)]
Said = Annotated[
    str | list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]],
    BeforeValidator(only_text),
]


class SystemMessage(Body):
    """Instructions."""

    role: Literal["system", "developer"] = Field(description="Who speaks.")
    content: Content = Field(description="A text, or text parts.")
    type: Literal["text"] | None = Field(default=None, description="Dropped.")
    name: str | None = Field(default=None, description="Handed to the chat template.")


class UserMessage(Body):
    """What the user says."""

    role: Literal["user"] = Field(description="Who speaks.")
    content: Content = Field(description="A text, or text parts; images and audio are refused.")
    type: Literal["text"] | None = Field(default=None, description="Dropped.")
    name: str | None = Field(default=None, description="Handed to the chat template.")


class CalledFunction(Body):
    """A function and what it was called with."""

    name: str = Field(description="The function's name.")
    arguments: str = Field(description="Its arguments as the JSON text of an object.")


class AssistantCall(Body):
    """A call that an assistant made."""

    id: str = Field(description="The id that the tool's message repeats.")
    type: Literal["function"] = Field(default="function", description="Only functions are served.")
    function: CalledFunction = Field(description="What was called.")
    index: int | None = Field(default=None, description="Accepted; the order of calls counts.")


class AssistantMessage(Body):
    """What the model said earlier; a message of a response can be given back as it came."""

    role: Literal["assistant"] = Field(description="Who speaks.")
    content: Said | None = Field(default=None, description="A text, or parts; null beside calls.")
    refusal: str | None = Field(default=None, description="A refusal, which stands for content.")
    type: Literal["text"] | None = Field(default=None, description="Dropped.")
    name: str | None = Field(default=None, description="Handed to the chat template.")
    tool_calls: list[AssistantCall] | None = Field(
        default=None, max_length=MOST_TOOLS, description="The calls that it made."
    )
    reasoning_content: str | None = Field(
        default=None, description="Dropped: chat templates take out what was thought before."
    )
    annotations: list[Any] | None = Field(default=None, description="Dropped.")
    audio: Unserved = None
    function_call: Unserved = None


class ToolMessage(Body):
    """What a tool answered."""

    role: Literal["tool"] = Field(description="Who speaks.")
    content: Content = Field(description="The tool's answer.")
    tool_call_id: str = Field(description="The call that it answers.")
    type: Literal["text"] | None = Field(default=None, description="Dropped.")
    name: str | None = Field(default=None, description="Handed to the chat template.")


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class Function(Body):
    """A function that the model may call."""

    name: Name = Field(description="Letters, digits, _ and -, at most 64 of them.")
    description: str | None = Field(default=None, description="What it does, for the model.")
    parameters: dict[str, Any] | None = Field(
        default=None, description="A JSON schema of its arguments, as an object."
    )
    strict: bool | None = Field(
        default=None,
        description="Accepted: arguments match the schema whenever tool_choice demands a call.",
    )


class Tool(Body):
    """A tool."""

    type: Literal["function"] = Field(description="Only functions are served.")
    function: Function = Field(description="The function.")


class NamedFunction(Body):
    """A function by its name."""

    name: str = Field(description="One of the tools' names.")


class NamedTool(Body):
    """The tool that has to be called."""

    type: Literal["function"] = Field(description="Only functions are served.")
    function: NamedFunction = Field(description="The function.")


class PlainFormat(Body):
    """Any text."""

    type: Literal["text"] = Field(description="Any text.")


class ObjectFormat(Body):
    """Any JSON object."""

    type: Literal["json_object"] = Field(description="A JSON object with any keys.")


class Schema(Body):
    """A JSON schema, and what it is called."""

    name: Name = Field(description="What it is called; changes nothing.")
    description: str | None = Field(default=None, description="Accepted; changes nothing.")
    schema_: dict[str, Any] | None = Field(
        default=None, alias="schema", description="The schema; null: any JSON object."
    )
    strict: bool | None = Field(
        default=None, description="Accepted: the answer always satisfies the schema."
    )


class SchemaFormat(Body):
    """JSON that a schema allows."""

    type: Literal["json_schema"] = Field(description="JSON that a schema allows.")
    json_schema: Schema = Field(description="The schema.")


Format = Annotated[PlainFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


class ChatBody(Sampling, Thinking):
    """A conversation to answer."""

    messages: list[Message] = Field(
        min_length=1, max_length=MOST_MESSAGES, description="The conversation so far."
    )
    max_tokens: Length | None = Field(
        default=None,
        description=(
            "Longest answer in tokens, thoughts included; null: 1024, or what the context has room "
            "for if that is less."
        ),
    )
    max_completion_tokens: Length | None = Field(
        default=None, description="The newer name of max_tokens; both must be equal if given."
    )
    response_format: Format | None = Field(
        default=None, description="Text, a JSON object, or JSON that a schema allows."
    )
    tools: list[Tool] | None = Field(
        default=None, max_length=MOST_TOOLS, description="Functions that the model may call."
    )
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = Field(
        default=None,
        description=(
            '"auto" lets the model decide, "none" hides the tools; "required" and a named tool '
            "make the answer one call whose arguments match the tool's schema."
        ),
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="False: calls after the first are left out, and noted."
    )
    logprobs: bool | None = Field(
        default=None,
        description="Whether tokens have log-probabilities; in a stream the last chunk has them.",
    )
    top_logprobs: int | None = Field(
        default=None, ge=0, le=MOST_TOP, description="So many of the likeliest tokens beside each."
    )
    metadata: dict[str, str] | None = Field(
        default=None, max_length=16, description="Accepted; changes nothing."
    )
    modalities: list[Literal["text"]] | None = Field(default=None, description="Only text.")
    store: Literal[False] | None = Field(default=None, description="Only false: nothing is kept.")
    service_tier: Literal["auto", "default"] | None = Field(
        default=None, description="Accepted; there is one tier."
    )
    safety_identifier: str | None = Field(default=None, description="Accepted; changes nothing.")
    prompt_cache_key: str | None = Field(
        default=None, description="Accepted: prompts are found in the cache by what they say."
    )
    prompt_cache_retention: Literal["in_memory", "24h"] | None = Field(
        default=None, description="Accepted; changes nothing."
    )
    verbosity: Literal["low", "medium", "high"] | None = Field(
        default=None, description="Accepted; changes nothing."
    )
    audio: Unserved = None
    function_call: Unserved = None
    functions: Unserved = None
    moderation: Unserved = None
    prediction: Unserved = None
    web_search_options: Unserved = None


class TopToken(BaseModel):
    """A token that might have stood in a place."""

    token: str = Field(description="Its text; a part of a character shows as U+FFFD.")
    bytes: list[int] = Field(description="Its bytes.")
    logprob: float = Field(description="Its log-probability in nats, at least -9999.")


class ScoredToken(TopToken):
    """A token of the content."""

    top_logprobs: list[TopToken] = Field(description="The likeliest tokens of its place.")


class ChoiceLogprobs(BaseModel):
    """Log-probabilities of a choice."""

    content: list[ScoredToken] = Field(description="Of each token of the content.")
    refusal: None = Field(description="Always null.")


class MadeCall(BaseModel):
    """A call that the model made."""

    id: str = Field(description="An id for the tool's message to repeat.")
    type: Literal["function"] = Field(description="Always a function.")
    function: CalledFunction = Field(description="What is called.")


class AnswerMessage(BaseModel):
    """An answer."""

    role: Literal["assistant"] = Field(description="Who speaks.")
    content: str | None = Field(description="The text; null where there are calls only.")
    refusal: None = Field(description="Always null.")
    reasoning_content: str | None = Field(default=None, description="What the model thought.")
    tool_calls: list[MadeCall] | None = Field(default=None, description="The calls it made.")


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int = Field(description="Its number.")
    message: AnswerMessage = Field(description="The answer.")
    logprobs: ChoiceLogprobs | None = Field(description="Null where nobody asked.")
    finish_reason: Literal["stop", "length", "tool_calls"] = Field(
        description="Why it ended; what a constraint holds for is complete, and never of a length."
    )
    notes: list[str] | None = Field(
        default=None, description="What a reader should know: a call that cannot be read, a loop."
    )


class ChatCompletion(Answered):
    """The answers to a conversation."""

    object: Literal["chat.completion"] = Field(description="What this is.")
    choices: list[ChatChoice] = Field(description="The answers.")
