"""The JSON that decisions are asked and answered in elsewhere: System One's, and OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canvaslm.engine.decide.answers import Answer, Decisions, PickAnswer, YesNoAnswer
from canvaslm.engine.decide.questions import Option, Pick, Question, Rate, YesNo
from canvaslm.errors import ParameterError

Json = Mapping[str, Any]
Name = str | int
Questions = Mapping[str, Question | Json] | Sequence[Question | Json]


def read_questions(questions: Questions) -> dict[Name, Question]:
    """Questions by name, or by place where a list is given.

    JSON inside a mapping is read as System One's, inside a list as OpenAI's, as these send it.
    Raises ParameterError naming the question that cannot be asked.
    """
    given: object = questions
    if isinstance(given, str | bytes) or not isinstance(given, Mapping | Sequence):
        raise ParameterError(
            "questions must be a mapping from names to questions, or a list of questions, got "
            f"{type(questions).__name__}"
        )
    if not questions:
        raise ParameterError("there are no questions: ask at least one")
    named: dict[Name, Question] = {}
    if isinstance(questions, Mapping):
        for name, value in questions.items():
            if not isinstance(name, str):
                raise ParameterError(f"a question's name must be a text, got {name!r}")
            named[name] = read_question(value, name, from_system_one)
    else:
        for place, value in enumerate(questions):
            named[place] = read_question(value, place, from_openai)
    return named


def read_question(value: Question | Json, name: Name, read: Any) -> Question:
    if isinstance(value, Question):
        return value
    try:
        if not isinstance(value, Mapping):
            raise ParameterError(
                f"expected YesNo, Pick, Rate or a JSON object, got {type(value).__name__}"
            )
        question: Question = read(value)
    except ParameterError as error:
        raise ParameterError(f"question {name!r}: {error}") from None
    return question


def from_system_one(value: Json) -> Question:
    """One question of System One: type noul, choice or score. Raises ParameterError."""
    kind = value.get("type")
    if kind == "noul":
        check_keys(value, "type", "instructions", optional=("criteria",))
        sides = value.get("criteria") or {}
        check_object("criteria", sides)
        check_keys(sides, optional=("true", "false"))
        return YesNo(value["instructions"], yes=sides.get("true"), no=sides.get("false"))
    if kind not in ("choice", "score"):
        raise ParameterError(f'type must be "noul", "choice" or "score", got {kind!r}')
    check_keys(value, "type", "instructions", "criteria")
    return (Pick if kind == "choice" else Rate)(value["instructions"], value["criteria"])


def from_openai(value: Json) -> Question:
    """One question of OpenAI's decisions: type predicate, choice or score. Raises ParameterError.

    Its `name` is the caller's own: answers come in the order of the questions.
    """
    kind = value.get("type")
    if kind == "predicate":
        check_keys(value, "type", "instructions", optional=("name",))
        return YesNo(value["instructions"])
    if kind == "choice":
        check_keys(value, "type", "instructions", "choices", optional=("name",))
        return Pick(value["instructions"], read_described(value["choices"], "choices", "value"))
    if kind == "score":
        check_keys(value, "type", "instructions", "levels", optional=("name",))
        return Rate(value["instructions"], read_described(value["levels"], "levels", "label"))
    raise ParameterError(f'type must be "predicate", "choice" or "score", got {kind!r}')


def read_described(listed: object, name: str, key: str) -> list[Option]:
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise ParameterError(f"{name} must be a list, got {type(listed).__name__}")
    for entry in listed:
        check_object(f"each of {name}", entry)
        check_keys(entry, key, optional=("description",))
    return [Option(entry[key], entry.get("description")) for entry in listed]


def check_object(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise ParameterError(f"{name} must be an object, got {type(value).__name__}")


def check_keys(value: Json, *required: str, optional: Sequence[str] = ()) -> None:
    missing = [key for key in required if key not in value]
    if missing:
        raise ParameterError(f"{', '.join(missing)} is missing")
    surplus = [str(key) for key in value if key not in (*required, *optional)]
    if surplus:
        raise ParameterError(
            f"{', '.join(surplus)} is not known here: expected {', '.join((*required, *optional))}"
        )


def as_system_one(decisions: Decisions) -> dict[str, Any]:
    """The `answers` of System One's reply."""
    return {str(name): system_one_answer(answer) for name, answer in decisions.items()}


def system_one_answer(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, YesNoAnswer):
        return {"type": "noul", "noul": answer.probability}
    if isinstance(answer, PickAnswer):
        probabilities = {Option(v).text: p for v, p in answer.probabilities.items()}
        return {
            "type": "choice",
            "choice": Option(answer.choice).text,
            "probabilities": probabilities,
            "confidence": answer.confidence,
        }
    return {
        "type": "score",
        "score": answer.score,
        "probabilities": {str(level): p for level, p in enumerate(answer.probabilities)},
        "legend": {str(level): label for level, label in enumerate(answer.legend)},
        "confidence": answer.confidence,
    }


def as_openai(decisions: Decisions) -> list[dict[str, Any]]:
    """The `answers` of OpenAI's reply, in the order of the questions."""
    return [openai_answer(answer) for answer in decisions.values()]


def openai_answer(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, YesNoAnswer):
        return {"type": "predicate", "probability": answer.probability}
    if isinstance(answer, PickAnswer):
        return {
            "type": "choice",
            "choice": answer.choice,
            "confidence": answer.confidence,
            "probabilities": [
                {"value": value, "probability": p} for value, p in answer.probabilities.items()
            ],
        }
    return {
        "type": "score",
        "score": answer.score,
        "confidence": answer.confidence,
        "probabilities": [
            {"value": level, "label": label, "probability": p}
            for level, (label, p) in enumerate(
                zip(answer.legend, answer.probabilities, strict=True)
            )
        ],
    }
