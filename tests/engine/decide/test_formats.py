"""The JSON of System One and of OpenAI, read and written."""

from typing import Any

import pytest

from canvaslm import Decisions, Option, Pick, Rate, YesNo
from canvaslm.engine.decide.answers import answer_of
from canvaslm.engine.decide.formats import as_openai, as_system_one, read_questions
from canvaslm.errors import ParameterError

SYSTEM_ONE = {
    "urgent": {"type": "noul", "instructions": "Urgent?", "criteria": {"true": "within an hour"}},
    "team": {
        "type": "choice",
        "instructions": "Which team?",
        "criteria": {"billing": "Payments", "support": None},
    },
    "heat": {"type": "score", "instructions": "How angry?", "criteria": ["calm", "furious"]},
}
OPENAI = [
    {"type": "predicate", "instructions": "Urgent?", "name": "urgent"},
    {
        "type": "choice",
        "instructions": "Which team?",
        "choices": [{"value": "billing", "description": "Payments"}, {"value": True}],
    },
    {
        "type": "score",
        "instructions": "How angry?",
        "levels": [{"label": "calm"}, {"label": "furious", "description": "shouts"}],
    },
]


def test_a_mapping_is_read_as_system_one() -> None:
    assert read_questions(SYSTEM_ONE) == {
        "urgent": YesNo("Urgent?", yes="within an hour"),
        "team": Pick("Which team?", {"billing": "Payments", "support": None}),
        "heat": Rate("How angry?", ["calm", "furious"]),
    }


def test_a_list_is_read_as_openai() -> None:
    assert list(read_questions(OPENAI).values()) == [
        YesNo("Urgent?"),
        Pick("Which team?", [Option("billing", "Payments"), Option(True)]),
        Rate("How angry?", [Option("calm"), Option("furious", "shouts")]),
    ]


def decisions(questions: Any) -> Decisions:
    named = read_questions(questions)
    answers = {name: answer_of(question, [0.75, 0.25]) for name, question in named.items()}
    return Decisions(answers=answers, input_tokens=9, passes=2, seconds=0.1)


def test_answers_are_written_as_system_one() -> None:
    assert as_system_one(decisions(SYSTEM_ONE)) == {
        "urgent": {"type": "noul", "noul": 0.75},
        "team": {
            "type": "choice",
            "choice": "billing",
            "probabilities": {"billing": 0.75, "support": 0.25},
            "confidence": 0.5,
        },
        "heat": {
            "type": "score",
            "score": 0.25,
            "probabilities": {"0": 0.75, "1": 0.25},
            "legend": {"0": "calm", "1": "furious"},
            "confidence": 0.5,
        },
    }


def test_answers_are_written_as_openai_in_order() -> None:
    predicate, choice, score = as_openai(decisions(OPENAI))
    assert predicate == {"type": "predicate", "probability": 0.75}
    assert choice == {
        "type": "choice",
        "choice": "billing",
        "confidence": 0.5,
        "probabilities": [
            {"value": "billing", "probability": 0.75},
            {"value": True, "probability": 0.25},
        ],
    }
    assert score["probabilities"][1] == {"value": 1, "label": "furious", "probability": 0.25}


@pytest.mark.parametrize(
    ("questions", "reason"),
    [
        ({}, "no questions"),
        ([], "no questions"),
        ("Urgent?", "must be a mapping"),
        (3, "must be a mapping"),
        ({3: YesNo("Is it?")}, "name must be a text"),
        ({"q": "Is it?"}, "question 'q': expected YesNo"),
        ({"q": {"type": "poem", "instructions": "?"}}, "question 'q': type must be \"noul\""),
        ({"q": {"type": "predicate", "instructions": "?"}}, 'type must be "noul"'),
        ({"q": {"type": "noul"}}, "instructions is missing"),
        (
            {"q": {"type": "noul", "instructions": "?", "depends_on": "p"}},
            "depends_on is not known",
        ),
        ({"q": {"type": "noul", "instructions": "?", "criteria": ["a"]}}, "must be an object"),
        ({"q": {"type": "choice", "instructions": "?"}}, "criteria is missing"),
        ({"q": {"type": "choice", "instructions": "?", "criteria": []}}, "got 0"),
        ([{"type": "noul", "instructions": "?"}], 'question 0: type must be "predicate"'),
        ([{"type": "choice", "instructions": "?", "choices": ["a", "b"]}], "must be an object"),
        ([{"type": "choice", "instructions": "?", "choices": "ab"}], "must be a list"),
        ([{"type": "score", "instructions": "?", "levels": [{"label": "a"}]}], "got 1"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(questions: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        read_questions(questions)
