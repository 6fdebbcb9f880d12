"""`/v1/systemone`: System One's typed questions by name, and their answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from canvaslm.server.schema.common import Body
from canvaslm.server.schema.decisions import MOST_QUESTIONS, Reading
from canvaslm.server.schema.unserved import Unserved

Name = Annotated[str, Field(min_length=1, max_length=1024)]
Described = dict[str, str | None]


class Asked(Body):
    """What every question has. `alone` is always so: each is answered as if it were the only one.

    Questions that wait for others, thoughts and samples are not served.
    """

    instructions: str
    alone: Literal[True] | None = None
    depends_on: Unserved = None
    ask_if: Unserved = None
    think: Unserved = None
    samples: Unserved = None
    images: Unserved = None


class Sides(Body):
    """What counts as which."""

    true: str | None = None
    false: str | None = None


class Noul(Asked):
    """Yes or no?"""

    type: Literal["noul"]
    criteria: Sides | None = None


class NamedChoice(Asked):
    """Which of 2 to 255 options, in a list or as keys of their descriptions?"""

    type: Literal["choice"]
    criteria: (
        Annotated[list[str], Field(min_length=2, max_length=255)]
        | Annotated[Described, Field(min_length=2, max_length=255)]
    )


class NamedScore(Asked):
    """Where on a scale of 2 to 10 levels, the lowest first?"""

    type: Literal["score"]
    criteria: (
        Annotated[list[str], Field(min_length=2, max_length=10)]
        | Annotated[Described, Field(min_length=2, max_length=10)]
    )


NamedQuestion = Annotated[Noul | NamedChoice | NamedScore, Field(discriminator="type")]


class SystemOneBody(Reading):
    """Up to 400 questions about a state, each answered as if it were asked alone.

    `state` is a text, or JSON, which the model sees with sorted keys; a list of objects that all
    have a role is a conversation.
    """

    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    state: str | dict[str, Any] | list[Any] = Field(description="What the questions are about.")
    questions: dict[Name, NamedQuestion] = Field(
        min_length=1, max_length=MOST_QUESTIONS, description="By the names of their answers."
    )
    user: str | None = Field(default=None, description="Accepted; changes nothing.")
    depends_on: Unserved = None
    ask_if: Unserved = None
    think: Unserved = None
    samples: Unserved = None
    images: Unserved = None


class NoulAnswer(BaseModel):
    """The probability of yes."""

    type: Literal["noul"] = "noul"
    noul: float


class NamedChoiceAnswer(BaseModel):
    type: Literal["choice"] = "choice"
    choice: str
    probabilities: dict[str, float]
    confidence: float


class NamedScoreAnswer(BaseModel):
    """`score` is the expected level, counted from 0; `legend` names the levels."""

    type: Literal["score"] = "score"
    score: float
    probabilities: dict[str, float]
    legend: dict[str, str]
    confidence: float


NamedAnswer = Annotated[
    NoulAnswer | NamedChoiceAnswer | NamedScoreAnswer, Field(discriminator="type")
]


class SystemOneUsage(BaseModel):
    input_tokens: int
    cached_tokens: int
    output_tokens: int = 0
    passes: int


class SystemOneReply(BaseModel):
    """Answers by the names of their questions."""

    model: str
    answers: dict[str, NamedAnswer]
    usage: SystemOneUsage
