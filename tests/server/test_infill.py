"""`/infill`: what llama.vim and llama.vscode send, and what they read."""

import json
from typing import Any

import httpx
import pytest

from canvaslm.server.asking.llama import cut_indent, pick

FIELDS = [
    "content",
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/prompt_per_second",
    "timings/predicted_n",
    "timings/predicted_ms",
    "timings/predicted_per_token_ms",
    "timings/predicted_per_second",
    "truncated",
    "tokens_cached",
]
VIM: dict[str, Any] = {
    "id_slot": 0,
    "input_prefix": "def add(a, b):\n",
    "input_suffix": "\n",
    "input_extra": [{"text": "def one():\n    return 1\n", "time": 12.5, "filename": "one.py"}],
    "prompt": "    return ",
    "n_predict": 3,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.90,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 30000,
    "t_max_predict_ms": 30000,
    "response_fields": FIELDS,
}
PLAIN = {"input_prefix": "def add(a, b):\n", "prompt": "    return ", "input_suffix": "\n"}


def fill(client: httpx.Client, **given: Any) -> httpx.Response:
    return client.post("/infill", json={**PLAIN, "n_predict": 3, "seed": 1, **given})


@pytest.fixture(scope="module")
def whole(server: Any) -> Any:
    """The reply, not streamed."""
    with server.client() as client:
        return fill(client).json()


def test_llama_vim_gets_the_fields_it_asks_for(client: httpx.Client) -> None:
    answer = client.post("/infill", json=VIM)
    assert answer.status_code == 200
    found = answer.json()
    assert list(found) == FIELDS
    assert found["timings/predicted_n"] <= 3
    assert isinstance(found["content"], str)


def test_its_greeting_does_no_work(client: httpx.Client) -> None:
    greeting = {
        "id_slot": 0,
        "input_prefix": "",
        "input_suffix": "",
        "prompt": "",
        "n_predict": 0,
        "input_extra": VIM["input_extra"],
        "temperature": 0.0,
        "stream": False,
        "samplers": [],
        "cache_prompt": True,
        "t_max_prompt_ms": 1,
        "t_max_predict_ms": 1,
        "response_fields": [""],
    }
    answer = client.post("/infill", json=greeting)
    assert (answer.status_code, answer.json()) == (200, {})


def test_it_is_the_answer_of_the_other_endpoint(client: httpx.Client, whole: Any) -> None:
    asked = {"prompt": "def add(a, b):\n    return ", "suffix": "\n", "max_tokens": 3, "seed": 1}
    other = client.post("/v1/fim/completions", json=asked).json()
    found = whole
    assert found["content"] == other["choices"][0]["text"]
    assert found["tokens_evaluated"] == other["usage"]["prompt_tokens"]
    assert found["stop"] is True
    assert found["generation_settings"]["seed"] == 1


def test_what_comes_later_in_time_is_what_is_kept(client: httpx.Client) -> None:
    new = {"text": "x = 1\n", "filename": "new.py", "time": 2}
    old = {"text": "x = 1\n" * 4000, "filename": "old.py", "time": 1}
    found = fill(client, input_extra=[new, old]).json()
    kept = fill(client, input_extra=[new]).json()
    assert found["truncated"]
    assert not kept["truncated"]
    assert "1 of 2" in found["notes"][0]
    assert found["content"] == kept["content"]
    assert found["tokens_evaluated"] == kept["tokens_evaluated"]


def test_a_stream_ends_with_the_rest_of_the_reply(client: httpx.Client, whole: Any) -> None:
    lines = fill(client, stream=True).text.split("\n\n")
    first, last = (json.loads(line.removeprefix("data: ")) for line in lines if line)
    assert first == {"content": whole["content"], "stop": False}
    assert last["stop"] is True
    assert last["content"] == ""
    assert last["tokens_predicted"] > 0


def test_when_the_time_is_over_what_was_sure_is_given(client: httpx.Client) -> None:
    found = fill(client, n_predict=64, t_max_predict_ms=1).json()
    assert found["stop_type"] == "limit"
    assert found["tokens_predicted"] < 64
    assert fill(client).status_code == 200


def test_a_stop_string_cuts(client: httpx.Client, whole: Any) -> None:
    text = whole["content"]
    found = fill(client, stop=text[-1]).json()
    assert found["content"] == text[: text.index(text[-1])]
    assert (found["stop_type"], found["stopping_word"]) == ("word", text[-1])


@pytest.mark.parametrize(
    ("text", "least", "left"),
    [
        ("a\n    b\nc", 4, "a\n    b"),
        ("a\n\n    b", 4, "a\n\n    b"),
        ("a\nb", 0, "a\nb"),
        ("a", 9, "a"),
    ],
)
def test_lines_with_less_indentation_end_the_text(text: str, least: int, left: str) -> None:
    assert cut_indent(text, least) == left


def test_fields_that_are_not_there_are_left_out() -> None:
    assert pick({"a": {"b": 1}, "c": 2}, ["a/b", "c/d", "e", ""]) == {"a/b": 1}


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"n_predict": -2}, "n_predict"),
        ({"samplers": ["magic"]}, "samplers"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n_probs": 5}, "n_probs"),
        ({"grammar": "root ::= a"}, "grammar"),
        ({"stop": [""]}, "stop"),
        ({"input_extra": [{"filename": "a"}]}, "input_extra"),
        ({"t_max_predict_ms": -1}, "t_max_predict_ms"),
        ({"input_prefix": "x = y\n" * 4000}, "input_prefix"),
        ({"mirostat": 1}, "mirostat"),
    ],
)
def test_what_cannot_be_served_is_named(
    client: httpx.Client, changed: dict[str, Any], param: str
) -> None:
    answer = fill(client, **changed)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
