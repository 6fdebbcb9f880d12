"""`/v1/tokenize` and `/v1/detokenize`: what texts are to the model, and back."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)


def post(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return client.post(f"/v1/{path}", json=body)


def test_texts_come_back(server: Any) -> None:
    with server.client() as client:

        @settings(max_examples=15)
        @given(text=TEXTS)
        def check(text: str) -> None:
            found = post(client, "tokenize", text=text).json()
            assert found["count"] == len(found["tokens"])
            assert post(client, "detokenize", tokens=found["tokens"]).json() == {"text": text}

        check()


def test_control_tokens_are_read_only_when_asked(client: httpx.Client) -> None:
    plain = post(client, "tokenize", text="a<turn|>").json()
    parsed = post(client, "tokenize", text="a<turn|>", parse_special=True, add_special=True).json()
    assert parsed["count"] == 3 < plain["count"]
    assert post(client, "detokenize", tokens=parsed["tokens"]).json()["text"] == "a"
    spelled = post(client, "detokenize", tokens=parsed["tokens"], special=True).json()["text"]
    assert spelled == "<bos>a<turn|>"


def test_messages_are_what_a_chat_counts(client: httpx.Client) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    found = post(client, "tokenize", messages=messages, with_pieces=True).json()
    assert len(found["pieces"]) == found["count"] == len(found["tokens"])
    assert "".join(found["pieces"]).startswith("<bos><|turn>user\nHello<turn|>")
    assert found["max_model_len"] > 0
    chat = {"messages": messages, "max_tokens": 1, "seed": 1}
    answer = client.post("/v1/chat/completions", json=chat).json()
    assert answer["usage"]["prompt_tokens"] == found["count"]


def test_pieces_are_left_out_unless_asked_for(client: httpx.Client) -> None:
    assert set(post(client, "tokenize", text="a").json()) == {"tokens", "count", "max_model_len"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("tokenize", {}, "text"),
        ("tokenize", {"text": "a", "messages": [{"role": "user", "content": "a"}]}, "text"),
        ("tokenize", {"text": 1}, "text"),
        ("tokenize", {"text": "a", "thinking": True}, "thinking"),
        ("tokenize", {"messages": []}, "messages"),
        ("tokenize", {"messages": [{"role": "nobody", "content": "a"}]}, "messages"),
        ("tokenize", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages"),
        ("tokenize", {"messages": [{"role": "user", "content": "a"}], "add_special": True}, "add"),
        ("detokenize", {"tokens": [1, -1]}, "tokens.1"),
        ("detokenize", {"tokens": [1 << 40]}, "tokens.0"),
        ("detokenize", {"tokens": ["1"]}, "tokens.0"),
        ("detokenize", {"tokens": [True]}, "tokens.0"),
        ("detokenize", {}, "tokens"),
    ],
)
def test_what_cannot_be_read_is_named(
    client: httpx.Client, path: str, body: dict[str, Any], param: str
) -> None:
    answer = post(client, path, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
