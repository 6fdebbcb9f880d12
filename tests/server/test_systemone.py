"""`/v1/systemone`: questions by name about a text or JSON, and their probabilities."""

from typing import Any

import httpx
import pytest

STATE = "Look: a small red circle at the top and a large blue square on the left."
QUESTIONS: dict[str, Any] = {
    "circle": {"type": "noul", "instructions": "Is there a red circle?"},
    "described": {
        "type": "noul",
        "instructions": "Is it urgent?",
        "criteria": {"true": "within the hour", "false": None},
        "alone": True,
    },
    "size": {
        "type": "choice",
        "instructions": "What size is the square?",
        "criteria": ["small", "medium", "large"],
    },
    "team": {
        "type": "choice",
        "instructions": "Whose is it?",
        "criteria": {"billing": "Payments and refunds", "support": None},
    },
    "red": {"type": "score", "instructions": "How many are red?", "criteria": ["0", "1", "2"]},
}


def ask(client: httpx.Client, **changed: Any) -> httpx.Response:
    return client.post("/v1/systemone", json={"state": STATE, "questions": QUESTIONS, **changed})


def test_answers_come_by_name_and_type(client: httpx.Client) -> None:
    found = ask(client).json()
    answers = found["answers"]
    assert list(answers) == list(QUESTIONS)
    assert {name: a["type"] for name, a in answers.items()} == {
        name: q["type"] for name, q in QUESTIONS.items()
    }
    assert 0 < answers["circle"]["noul"] < 1
    for name, options in (("size", ["small", "medium", "large"]), ("team", ["billing", "support"])):
        probabilities = answers[name]["probabilities"]
        assert list(probabilities) == options
        assert sum(probabilities.values()) == pytest.approx(1)
        assert answers[name]["choice"] == max(probabilities, key=probabilities.__getitem__)
        assert 0 <= answers[name]["confidence"] <= 1
    assert answers["red"]["legend"] == {"0": "0", "1": "1", "2": "2"}
    assert found["usage"]["input_tokens"] > 0 == found["usage"]["output_tokens"]


def test_each_is_answered_as_if_it_were_asked_alone(client: httpx.Client) -> None:
    together = ask(client).json()["answers"]
    turned = ask(client, questions=dict(reversed(QUESTIONS.items()))).json()["answers"]
    assert together == turned
    for name, question in QUESTIONS.items():
        assert ask(client, questions={name: question}).json()["answers"][name] == together[name]


def test_the_same_question_has_one_answer_in_both_formats(client: httpx.Client) -> None:
    asked = [{"type": "predicate", "instructions": QUESTIONS["circle"]["instructions"]}]
    other = client.post("/v1/decisions", json={"input": STATE, "questions": asked}).json()
    found = ask(client).json()["answers"]["circle"]["noul"]
    assert other["answers"][0]["probability"] == found


@pytest.mark.parametrize(
    "state",
    [{"b": 1, "a": [None, "x"]}, ["a", 1], [{"role": "user", "content": "Hello"}], "", {}],
)
def test_states_may_be_json(client: httpx.Client, state: Any) -> None:
    assert ask(client, state=state).status_code == 200


def test_keys_of_a_state_have_no_order(client: httpx.Client) -> None:
    one, other = ({"b": 1, "a": 2}, {"a": 2, "b": 1})
    assert ask(client, state=one).json()["answers"] == ask(client, state=other).json()["answers"]


@pytest.mark.parametrize("name", ["depends_on", "ask_if", "think", "samples", "images"])
def test_extensions_that_are_not_served_are_refused_by_name(
    client: httpx.Client, name: str
) -> None:
    circle = QUESTIONS["circle"]
    in_question = ask(client, questions={"circle": {**circle, name: 1}})
    in_body = ask(client, **{name: 1})
    for answer in (in_question, in_body):
        assert answer.status_code == 400
        assert answer.json()["error"]["param"].endswith(name)


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ({"type": "noul", "instructions": ""}, "instructions"),
        ({"type": "noul", "instructions": "a", "criteria": {"maybe": "x"}}, "maybe"),
        ({"type": "choice", "instructions": "a", "criteria": ["a"]}, "2"),
        ({"type": "choice", "instructions": "a", "criteria": ["a", "a"]}, "twice"),
        ({"type": "score", "instructions": "a", "criteria": list("abcdefghijk")}, "10"),
        ({"type": "score", "instructions": "a"}, "criteria"),
        ({"type": "predicate", "instructions": "a"}, "noul"),
        ("Is it?", "dictionary"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(
    client: httpx.Client, question: Any, word: str
) -> None:
    answer = ask(client, questions={**QUESTIONS, "wrong": question})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"].startswith("questions.wrong")
    assert word in error["message"] or word in error["param"]


def test_names_that_are_no_text_are_refused(client: httpx.Client) -> None:
    asked = b'{"state": "a", "questions": {"\\ud800": {"type": "noul", "instructions": "a"}}}'
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/systemone", content=asked, headers=headers).status_code == 400
    assert ask(client, questions={"": QUESTIONS["circle"]}).status_code == 400
