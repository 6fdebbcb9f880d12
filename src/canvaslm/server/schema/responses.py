"""`/v1/responses`: the body of a request, and the response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from canvaslm.server.schema.chat import MOST_TOOLS, Length, Name
from canvaslm.server.schema.common import (
    Body,
    ReasoningEffort,
    Sampling,
    StreamOptions,
)
from canvaslm.server.schema.response_input import Input

LOGPROBS = "message.output_text.logprobs"
Key = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=512)]


@dataclass(frozen=True)
class Only:
    """Refuses other values than null and `value`, and says why."""

    value: object
    why: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        values = [None] if self.value is None else [self.value, None]
        return {"enum": values, "description": f"Refused otherwise: {self.why}."}

    def _check(self, given: object) -> object:
        if given is None or (type(given) is type(self.value) and given == self.value):
            return given
        allowed = "leave it out" if self.value is None else f"give {self.value!r}, or leave it out"
        raise PydanticCustomError(
            "unserved", "{why}: {allowed}", {"why": self.why, "allowed": allowed}
        )


NOTHING_KEPT = "nothing is kept here, so the whole conversation belongs into input"
Stateless = Annotated[None, Only(None, NOTHING_KEPT)]
NotServed = Annotated[None, Only(None, "it is not served here")]
Templates = Annotated[None, Only(None, "prompt templates are kept by OpenAI, not here")]


class FunctionTool(Body):
    """A function that the model may call."""

    type: Annotated[Literal["function"], Only("function", "only functions are served as tools")]
    name: Name = Field(description="Letters, digits, _ and -, at most 64 of them.")
    description: str | None = Field(default=None, description="What it does, for the model.")
    parameters: dict[str, Any] | None = Field(
        default=None, description="A JSON schema of its arguments, as an object."
    )
    strict: bool | None = Field(
        default=None,
        description="Accepted. Arguments match the schema whenever tool_choice demands a call.",
    )
    defer_loading: Annotated[bool | None, Only(False, "tools are not searched for")] = None
    allowed_callers: NotServed = None
    output_schema: NotServed = None


class FunctionChoice(Body):
    """The function that must be called."""

    type: Literal["function"]
    name: str


class PlainText(Body):
    """Any text."""

    type: Literal["text"]


class JsonObject(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    """JSON that matches a schema, by construction."""

    type: Literal["json_schema"]
    name: Name = Field(description="What it is called; changes nothing.")
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = Field(default=None, description="Accepted; changes nothing.")
    strict: bool | None = Field(
        default=None, description="Accepted: the answer matches the schema in any case."
    )


Format = Annotated[PlainText | JsonObject | JsonSchemaFormat, Field(discriminator="type")]


class TextOptions(Body):
    """What form the answer has."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = Field(
        default=None, description="Accepted; changes nothing."
    )


class ReasoningOptions(Body):
    """Whether and how long the model thinks before it answers."""

    effort: ReasoningEffort | None = Field(
        default=None,
        description=(
            '"none" and "minimal" turn thinking off, "low" gives it 256 tokens, "medium" 1024, '
            '"high" and above all there is room for; "instant" is effort "fast" without it.'
        ),
    )
    summary: Literal["auto", "concise", "detailed"] | None = Field(
        default=None, description="Accepted: thoughts come whole, so there is no summary of them."
    )
    generate_summary: Literal["auto", "concise", "detailed"] | None = Field(
        default=None, description="The old name of summary."
    )
    context: NotServed = None
    mode: Annotated[Literal["standard"] | None, Only("standard", "there is one mode")] = None


class ResponseStreamOptions(StreamOptions):
    """Only false: the last event always carries the usage, and nothing is padded."""

    include_usage: Literal[False] = False


class ResponsesBody(Sampling):
    """A request for a response. Nothing of it is kept: `input` is the whole conversation."""

    input: Input
    instructions: str | None = Field(
        default=None, description="What the model is told before the conversation."
    )
    max_output_tokens: Length | None = Field(
        default=None,
        description=(
            "Longest answer in tokens, thoughts included; null: 1024, or what the context has room "
            "for if that is less."
        ),
    )
    tools: list[FunctionTool] | None = Field(
        default=None, max_length=MOST_TOOLS, description="Functions that the model may call."
    )
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = Field(
        default=None, description="Whether a function is called: the model decides when null."
    )
    text: TextOptions | None = Field(default=None, description="What form the answer has.")
    reasoning: ReasoningOptions | None = Field(
        default=None, description="Whether and how long the model thinks before it answers."
    )
    thinking: bool | None = Field(
        default=None, description="Whether the model thinks before it answers; null: it does not."
    )
    thinking_budget: int | None = Field(
        default=None, ge=1, lt=2**63, description="Tokens of thought at most."
    )
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = (
        Field(
            default=None,
            description="Log-probabilities of the answer's tokens; thoughts come as text anyway.",
        )
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description=f"So many of the likeliest tokens beside each; needs {LOGPROBS!r} in include.",
    )
    stream_options: ResponseStreamOptions | None = Field(
        default=None, description="Only false: the last event always carries the usage."
    )
    store: Annotated[bool | None, Only(False, NOTHING_KEPT)] = None
    truncation: Annotated[
        Literal["disabled"] | None, Only("disabled", "a conversation is never cut")
    ] = None
    background: Annotated[
        bool | None, Only(False, "nothing is kept here, so nobody could fetch the response")
    ] = None
    metadata: Annotated[dict[Key, Value], Field(max_length=16)] | None = Field(
        default=None, description="Comes back in the response."
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="False: calls after the first are left out, and noted."
    )
    service_tier: Literal["auto", "default"] | None = Field(
        default=None, description="Accepted; changes nothing."
    )
    safety_identifier: str | None = Field(default=None, description="Accepted; changes nothing.")
    prompt_cache_key: str | None = Field(default=None, description="Accepted; changes nothing.")
    prompt_cache_retention: Literal["in_memory", "in-memory"] | None = Field(
        default=None, description="Accepted; changes nothing."
    )
    previous_response_id: Stateless = None
    conversation: Stateless = None
    prompt: Templates = None
    n: Annotated[None, Only(None, "a response is one answer")] = None
    max_tool_calls: Annotated[None, Only(None, "it counts calls of built-in tools only")] = None
    context_management: NotServed = None
    moderation: NotServed = None
    prompt_cache_options: NotServed = None
    access_programs: NotServed = None
    background_options: NotServed = None
    image: NotServed = None


class TopLogprob(BaseModel):
    token: str
    bytes: list[int]
    logprob: float


class Logprob(TopLogprob):
    """A token and its log-probability; -9999 for one that cannot be."""

    top_logprobs: list[TopLogprob]


class OutputText(BaseModel):
    type: Literal["output_text"]
    text: str
    annotations: list[Any] = Field(max_length=0)
    logprobs: list[Logprob]


class ReasoningText(BaseModel):
    type: Literal["reasoning_text"]
    text: str


Status = Literal["in_progress", "completed", "incomplete"]


class OutputMessage(BaseModel):
    """Text of the answer."""

    type: Literal["message"]
    id: str
    role: Literal["assistant"]
    status: Status
    content: list[OutputText]


class OutputReasoning(BaseModel):
    """What the model thought."""

    type: Literal["reasoning"]
    id: str
    status: Status
    summary: list[Any] = Field(max_length=0)
    content: list[ReasoningText]


class OutputCall(BaseModel):
    """A function to call; `arguments` is JSON text."""

    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    arguments: str
    status: Status


OutputItem = Annotated[OutputMessage | OutputReasoning | OutputCall, Field(discriminator="type")]


class InputDetails(BaseModel):
    cached_tokens: int = Field(description="Tokens found in the cache of earlier prompts.")
    cache_write_tokens: int = Field(description="Always 0: writing to the cache is not counted.")


class OutputDetails(BaseModel):
    reasoning_tokens: int = Field(description="Tokens of thoughts, without their control tokens.")


class ResponseUsage(BaseModel):
    """What the request took."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    steps: int = Field(description="Denoising passes; left to right, passes that made a token.")
    canvases: int = Field(description="Canvases that were settled.")
    tokens_per_forward: float = Field(description="Output tokens over steps.")


class IncompleteDetails(BaseModel):
    reason: Literal["max_output_tokens"]


class ResponseError(BaseModel):
    code: str
    message: str


class ResponseReply(BaseModel):
    """A response; what the request set comes back in the fields of the same names.

    `seed` gives the same answer again; `notes` say what a reader should know of it, such as that it
    repeats itself, or that a tool call could not be read.
    """

    id: str
    object: Literal["response"]
    created_at: float
    completed_at: float | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[OutputItem]
    usage: ResponseUsage | None
    seed: int | None
    notes: list[str]
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    prompt_cache_key: str | None
    service_tier: Literal["default"]
    store: Literal[False]
    background: Literal[False]
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["disabled"]
    user: str | None
