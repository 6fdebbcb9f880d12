"""`/v1/decisions`: OpenAI's typed questions about a text or a conversation, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from canvaslm.server.schema.common import Body, Request
from canvaslm.server.schema.parts import GivenRefusal, GivenText, InputText, ItemStatus, Phase
from canvaslm.server.schema.unserved import Unserved

MOST_QUESTIONS = 400
MOST_INPUTS = 10_000

Short = Annotated[str, Field(max_length=1024)]


class InputJson(Body):
    """A JSON object, or a list of objects, shown as text with sorted keys."""

    type: Literal["input_json"]
    data: dict[str, Any] | list[dict[str, Any]]


Part = Annotated[InputText | InputJson, Field(discriminator="type")]
Said = Annotated[GivenText | GivenRefusal, Field(discriminator="type")]


class UserMessage(Body):
    """What the user says: text and JSON. Images are not served."""

    type: Literal["message"] = "message"
    role: Literal["user"]
    content: str | list[Part]


class SystemMessage(Body):
    """Instructions."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer"]
    content: str | list[InputText]


class AssistantMessage(Body):
    """What the model said before."""

    type: Literal["message"] = "message"
    role: Literal["assistant"]
    content: str | list[Said]
    phase: Phase | None = None


class FunctionCall(Body):
    """A call of a function; `arguments` is the JSON text of an object."""

    type: Literal["function_call"]
    call_id: Short
    name: Short
    arguments: str
    id: str | None = None
    namespace: str | None = None
    status: ItemStatus | None = None


class CustomCall(Body):
    """A call of a tool that takes free text."""

    type: Literal["custom_tool_call"]
    call_id: Short
    name: Short
    input: str
    id: str | None = None
    namespace: str | None = None
    status: ItemStatus | None = None


class FunctionOutput(Body):
    """What the function returned to the call with this id."""

    type: Literal["function_call_output"]
    call_id: Short
    output: str | list[InputText]
    id: str | None = None
    status: ItemStatus | None = None


class CustomOutput(Body):
    """What the tool returned to the call with this id."""

    type: Literal["custom_tool_call_output"]
    call_id: Short
    output: str | list[InputText]
    id: str | None = None
    status: ItemStatus | None = None


def tag(value: object) -> str | None:
    """Which of the inputs it is: by `type`, and of messages, whose type may be left out, `role`."""
    given = value if isinstance(value, Mapping) else vars(value) if hasattr(value, "role") else {}
    kind = given.get("type", "message")
    found = given.get("role") if kind == "message" else kind
    found = "system" if found == "developer" else found
    return found if isinstance(found, str) else None


Input = Annotated[
    Annotated[UserMessage, Tag("user")]
    | Annotated[SystemMessage, Tag("system")]
    | Annotated[AssistantMessage, Tag("assistant")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionOutput, Tag("function_call_output")]
    | Annotated[CustomCall, Tag("custom_tool_call")]
    | Annotated[CustomOutput, Tag("custom_tool_call_output")],
    Discriminator(
        tag,
        custom_error_type="unknown_input",
        custom_error_message="expected a message of a user, system, developer or assistant, "
        "function_call, function_call_output, custom_tool_call or custom_tool_call_output",
    ),
]

Instructions = Annotated[str | list[Part], Field(description="Text, or parts of text and JSON.")]


class Predicate(Body):
    """How likely is it that this is true?"""

    type: Literal["predicate"]
    instructions: Instructions
    name: Short | None = None


class ChoiceOption(Body):
    """One possible answer. Values that read alike cannot be told apart, as true and "true"."""

    value: str | bool
    description: str | None = None


class Choice(Body):
    """Which of these is it? Their order carries no meaning."""

    type: Literal["choice"]
    instructions: Instructions
    choices: Annotated[list[ChoiceOption], Field(min_length=2, max_length=255)]
    name: Short | None = None


class Level(Body):
    """A step of a scale."""

    label: str
    description: str | None = None


class Score(Body):
    """Where is it on this scale, the lowest level first?"""

    type: Literal["score"]
    instructions: Instructions
    levels: Annotated[list[Level], Field(min_length=2, max_length=10)]
    name: Short | None = None


Question = Annotated[Predicate | Choice | Score, Field(discriminator="type")]


class Reading(Request):
    """How the model is read: extensions that both kinds of decisions have."""

    method: Literal["denoise", "causal"] = Field(
        default="denoise",
        description='"denoise" reads a small canvas, "causal" the next token left to right.',
    )
    orders: int = Field(
        default=1, ge=1, le=32, description="Orders of a choice's options to average over."
    )
    divide_prior: bool = Field(
        default=False, description="Divide by what the model answers without looking at the input."
    )


class DecisionsBody(Reading):
    """Up to 400 questions about one input. Each is answered as if it were asked alone."""

    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    input: str | Annotated[list[Input], Field(min_length=1, max_length=MOST_INPUTS)] = Field(
        description="What the questions are about: a text, or a conversation."
    )
    questions: list[Question] = Field(
        min_length=1, max_length=MOST_QUESTIONS, description="Answered in this order."
    )
    prompt_cache_key: str | None = Field(default=None, description="Accepted; changes nothing.")
    prompt_cache_options: dict[str, Any] | None = Field(
        default=None, description="Accepted; changes nothing."
    )
    safety_identifier: str | None = Field(default=None, description="Accepted; changes nothing.")
    user: str | None = Field(default=None, description="Accepted; changes nothing.")
    think: Unserved = None
    samples: Unserved = None


class PredicateAnswer(BaseModel):
    type: Literal["predicate"] = "predicate"
    name: str | None
    probability: float


class ChoiceProbability(BaseModel):
    value: str | bool
    probability: float


class ChoiceAnswer(BaseModel):
    type: Literal["choice"] = "choice"
    name: str | None
    choice: str | bool
    confidence: float
    probabilities: list[ChoiceProbability]


class ScoreProbability(BaseModel):
    value: int
    label: str
    probability: float


class ScoreAnswer(BaseModel):
    """`score` is the expected level, counted from 0."""

    type: Literal["score"] = "score"
    name: str | None
    score: float
    confidence: float
    probabilities: list[ScoreProbability]


Answer = Annotated[PredicateAnswer | ChoiceAnswer | ScoreAnswer, Field(discriminator="type")]


class InputDetails(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(BaseModel):
    reasoning_tokens: int = 0


class DecisionUsage(BaseModel):
    """`passes` are those of the network; no token is ever generated."""

    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int = 0
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int
    passes: int


class Decision(BaseModel):
    """Answers in the order of the questions. No answer is a `refusal`: what cannot be asked is an
    error that names the question."""

    model: str
    answers: list[Answer]
    usage: DecisionUsage
