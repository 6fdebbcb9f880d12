"""`/v1/decisions` with the real client: typed answers, in order, whatever the company."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from canvaslm.server.asking.questions import MOST_OPTIONS

STATE = "Look: a small red circle at the top and a large blue square on the left."
QUESTIONS: list[dict[str, Any]] = [
    {"type": "predicate", "instructions": "Is there a red circle?", "name": "circle"},
    {
        "type": "choice",
        "instructions": "What size is the square?",
        "choices": [{"value": "small"}, {"value": "medium"}, {"value": "large"}],
    },
    {"type": "choice", "instructions": "Is it so?", "choices": [{"value": True}, {"value": False}]},
    {
        "type": "score",
        "name": "red",
        "instructions": "How many shapes are red?",
        "levels": [{"label": "0", "description": "none"}, {"label": "1"}, {"label": "2"}],
    },
]


@pytest.fixture
def asking(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: httpx.Client, **changed: Any) -> httpx.Response:
    return client.post("/v1/decisions", json={"input": STATE, "questions": QUESTIONS, **changed})


def test_real_client_reads_typed_answers_in_the_order_of_the_questions(
    asking: openai.OpenAI,
) -> None:
    found = asking.decisions.create(model="default", input=STATE, questions=QUESTIONS)
    circle, size, so, red = found.answers
    assert (circle.type, circle.name) == ("predicate", "circle")
    assert 0 < circle.probability < 1
    assert [p.value for p in size.probabilities] == ["small", "medium", "large"]
    assert size.choice == max(size.probabilities, key=lambda p: p.probability).value
    assert sum(p.probability for p in size.probabilities) == pytest.approx(1)
    assert so.choice in (True, False)
    assert isinstance(so.choice, bool)
    assert [(p.value, p.label) for p in red.probabilities] == [(0, "0"), (1, "1"), (2, "2")]
    assert red.score == pytest.approx(sum(p.value * p.probability for p in red.probabilities))
    assert found.usage.output_tokens == 0
    assert found.usage.total_tokens == found.usage.input_tokens > 0
    assert found.usage.input_tokens_details.cached_tokens >= 0


def test_order_and_company_of_questions_change_no_bit(client: httpx.Client) -> None:
    together = ask(client).json()["answers"]
    turned = ask(client, questions=QUESTIONS[::-1]).json()["answers"]
    alone = [ask(client, questions=[one]).json()["answers"][0] for one in QUESTIONS]
    assert together == turned[::-1] == alone


def test_other_requests_change_no_bit(client: httpx.Client) -> None:
    gap = {"prompt": "def add(a, b):\n    return ", "suffix": "\n", "max_tokens": 3, "seed": 1}
    alone = ask(client).json()["answers"]
    filled = client.post("/v1/fim/completions", json=gap).json()["choices"]
    with ThreadPoolExecutor(5) as pool:
        gaps = [pool.submit(client.post, "/v1/fim/completions", json=gap) for _ in range(2)]
        answers = [pool.submit(ask, client) for _ in range(3)]
        assert [one.result().json()["choices"] for one in gaps] == [filled] * 2
        assert [one.result().json()["answers"] for one in answers] == [alone] * 3


def test_order_of_the_choices_has_no_influence(client: httpx.Client) -> None:
    choices = QUESTIONS[1]["choices"]
    turned = {**QUESTIONS[1], "choices": choices[::-1]}
    one, other = ask(client, questions=[QUESTIONS[1], turned]).json()["answers"]
    assert one["probabilities"] == other["probabilities"][::-1]


def test_conversations_with_calls_outputs_and_json_are_read(asking: openai.OpenAI) -> None:
    conversation: list[Any] = [
        {"role": "system", "content": [{"type": "input_text", "text": "Be exact."}]},
        {"role": "user", "content": [{"type": "input_json", "data": {"shape": "circle"}}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": "top"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "a red circle"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "say", "input": "hello"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "said"}],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "It is red."}]},
    ]
    questions: list[Any] = [
        {"type": "predicate", "instructions": [{"type": "input_text", "text": "Is it red?"}]}
    ]
    found = asking.decisions.create(model="default", input=conversation, questions=questions)
    shorter = asking.decisions.create(model="default", input=conversation[:2], questions=questions)
    assert found.usage.input_tokens > shorter.usage.input_tokens
    assert found.answers != shorter.answers


def test_extensions_change_how_the_model_is_read(client: httpx.Client) -> None:
    plain = ask(client).json()["answers"]
    for extension in ({"method": "causal"}, {"divide_prior": True}):
        assert ask(client, **extension).json()["answers"] != plain


CHOICE = {"type": "choice", "instructions": "Which?"}


@pytest.mark.parametrize(
    ("changed", "status", "param"),
    [
        ({"questions": []}, 400, "questions"),
        ({"questions": QUESTIONS[:1] * 401}, 400, "questions"),
        ({"questions": [{"type": "predicate", "instructions": " "}]}, 400, "questions.0"),
        ({"questions": [QUESTIONS[0], {**QUESTIONS[0], "type": "noul"}]}, 400, "questions.1"),
        ({"questions": [{**CHOICE, "choices": [{"value": "a"}]}]}, 400, "questions.0"),
        ({"questions": [{**CHOICE, "choices": [{"value": "a"}] * 2}]}, 400, "questions.0"),
        (
            {"questions": [{**CHOICE, "choices": [{"value": " "}, {"value": "b"}]}]},
            400,
            "questions",
        ),
        (
            {"questions": [{**CHOICE, "choices": [{"value": "true"}, {"value": True}]}]},
            400,
            "questions.0",
        ),
        ({"input": []}, 400, "input"),
        ({"input": [{"role": "tool", "content": "a"}]}, 400, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, 400, "input.0"),
        (
            {"input": [{"type": "function_call_output", "call_id": "x", "output": "a"}]},
            400,
            "input.0.call_id",
        ),
        ({"input": "a\0b"}, 400, None),
        ({"model": "gpt-6-luna"}, 404, "model"),
        ({"samples": 3}, 400, "samples"),
        ({"temperature": 1}, 400, "temperature"),
        ({"orders": 0}, 400, "orders"),
    ],
)
def test_what_cannot_be_asked_is_named(
    client: httpx.Client, changed: dict[str, Any], status: int, param: str | None
) -> None:
    answer = ask(client, **changed)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["message"]
    assert param is None or error["param"].startswith(param)


def test_an_option_longer_than_a_canvas_names_its_question(client: httpx.Client) -> None:
    long = {**CHOICE, "choices": [{"value": "word " * 400}, {"value": "b"}]}
    error = ask(client, questions=[QUESTIONS[0], long]).json()["error"]
    assert error["param"] == "questions.1"
    assert "canvas" in error["message"]


def test_lone_surrogates_are_refused(client: httpx.Client) -> None:
    body = b'{"input": "\\ud800", "questions": [{"type": "predicate", "instructions": "a"}]}'
    answer = client.post(
        "/v1/decisions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400


def test_too_much_is_refused_before_any_work(client: httpx.Client) -> None:
    values = [{"value": f"option {number}"} for number in range(255)]
    many = MOST_OPTIONS // 255 + 1
    answer = ask(client, questions=[{**CHOICE, "choices": values}] * many)
    assert (answer.status_code, answer.json()["error"]["param"]) == (413, "questions")
    assert ask(client, input="a" * (1 << 21)).status_code == 413
    answer = ask(client, input="circle " * 9000)
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")
