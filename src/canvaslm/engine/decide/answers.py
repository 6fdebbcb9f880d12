"""Typed answers: probabilities, what they make likeliest, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from canvaslm.engine.decide.questions import Question, Value


@dataclass(frozen=True, kw_only=True)
class YesNoAnswer:
    """The probability of yes."""

    probability: float

    @property
    def confidence(self) -> float:
        """|2p - 1|."""
        return abs(2 * self.probability - 1)


@dataclass(frozen=True, kw_only=True)
class PickAnswer:
    """The likeliest option, and the probability of each in the order they were given."""

    choice: Value
    confidence: float
    probabilities: Mapping[Value, float]


@dataclass(frozen=True, kw_only=True)
class RateAnswer:
    """`score` is the expected level, counted from 0; `legend` names the levels."""

    score: float
    confidence: float
    probabilities: tuple[float, ...]
    legend: tuple[str, ...]

    @property
    def level(self) -> int:
        """The likeliest level."""
        return self.probabilities.index(max(self.probabilities))


Answer = YesNoAnswer | PickAnswer | RateAnswer


@dataclass(frozen=True, kw_only=True, eq=False)
class Decisions(Mapping[str | int, Answer]):
    """Answers by the names of their questions, or by place where a list was asked.

    `input_tokens` counts the state once and each question once; `cached_tokens` of them were known
    before; `passes` are those of the network.
    """

    answers: Mapping[str | int, Answer]
    input_tokens: int
    passes: int
    seconds: float
    cached_tokens: int = 0

    def __getitem__(self, name: str | int) -> Answer:
        return self.answers[name]

    def __iter__(self) -> Iterator[str | int]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)


def answer_of(question: Question, probabilities: Sequence[float]) -> Answer:
    """The answer that these probabilities of the question's options make."""
    if question.kind == "yes_no":
        return YesNoAnswer(probability=probabilities[0])
    sure = confidence(probabilities)
    if question.kind == "rate":
        return RateAnswer(
            score=sum(level * p for level, p in enumerate(probabilities)),
            confidence=sure,
            probabilities=tuple(probabilities),
            legend=tuple(option.text for option in question.listed),
        )
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return PickAnswer(
        choice=question.listed[best].value,
        confidence=sure,
        probabilities={o.value: p for o, p in zip(question.listed, probabilities, strict=True)},
    )


def confidence(probabilities: Sequence[float]) -> float:
    """How far the likeliest of n options is from 1 / n: 0 when flat, 1 when it holds everything.

    (max p - 1/n) / (1 - 1/n), which for two options is |2p - 1|.
    """
    flat = 1 / len(probabilities)
    return max(0.0, (max(probabilities) - flat) / (1 - flat))
