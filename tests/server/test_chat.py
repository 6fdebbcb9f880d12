"""`/v1/chat/completions` over a real server: what is honoured, and what is refused by its name."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from openai.types.chat import ChatCompletion as OpenAIChat
from openai.types.chat import ChatCompletionChunk

from canvaslm import LM, Params
from canvaslm.server.schema.chat import ChatCompletion

URL = "/v1/chat/completions"
DRAW = [{"role": "user", "content": "Draw a small red circle at the top left."}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"enum": [1, 2]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def post(client: httpx.Client, **body: Any) -> dict[str, Any]:
    got = client.post(URL, json={"messages": DRAW, "seed": 1, "max_steps": 8, **body})
    assert got.status_code == 200, got.text
    reply: dict[str, Any] = got.json()
    ChatCompletion.model_validate(reply, strict=True, extra="forbid")
    OpenAIChat.model_validate(reply)
    return reply


def stream(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    got = client.post(
        URL, json={"messages": DRAW, "seed": 1, "max_steps": 8, "stream": True, **body}
    )
    assert got.headers["content-type"].startswith("text/event-stream"), got.text
    lines = [line for line in got.text.split("\n\n") if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


def test_it_answers_as_the_model_does(client: httpx.Client, lm: LM) -> None:
    reply = post(client, max_tokens=256)
    alone = lm.generate(DRAW, params=Params(seed=1, max_steps=8))
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": alone.text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["completion_tokens"] == len(alone.token_ids)
    assert (usage["steps"], usage["canvases"]) == (alone.usage.steps, alone.usage.canvases)
    assert usage["tokens_per_forward"] == alone.usage.tokens_per_forward
    assert reply["seed"] == 1
    assert reply["system_fingerprint"].startswith("fp_")


def test_a_drawn_seed_is_told_and_gives_the_same_again(client: httpx.Client) -> None:
    first = post(client, seed=None, max_tokens=16)
    again = post(client, seed=first["seed"], max_tokens=16)
    assert again["choices"] == first["choices"]
    assert again["system_fingerprint"] == first["system_fingerprint"]


def test_a_stream_adds_up_with_drafts_between(client: httpx.Client) -> None:
    whole = post(client)
    chunks = stream(client, canvas_events=True, stream_options={"include_usage": True})
    texts = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(texts) == whole["choices"][0]["message"]["content"]
    drafts = [chunk["canvas"] for chunk in chunks if "canvas" in chunk]
    assert all(chunk["choices"] == [] for chunk in chunks if "canvas" in chunk)
    assert len(drafts) == whole["usage"]["steps"]
    assert chunks[-1]["choices"] == []
    details = ("prompt_tokens", "completion_tokens", "steps", "canvases")
    assert [chunks[-1]["usage"][n] for n in details] == [whole["usage"][n] for n in details]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert {chunk["seed"] for chunk in chunks} == {1}


@pytest.mark.parametrize("shown", [True, "changes"])
def test_settled_text_leaves_early_and_offsets_count_it(client: httpx.Client, shown: Any) -> None:
    text, offsets = "", []
    asked = "Draw a large blue square in the middle, a green circle at the bottom right and a small"
    asked += " yellow triangle at the top left."
    chunks = stream(
        client,
        messages=[{"role": "user", "content": asked}],
        canvas_events=shown,
        hold_settled=True,
        logprobs=True,
        max_tokens=128,
    )
    for chunk in chunks:
        if "canvas" in chunk:
            offsets.append((chunk["canvas"]["offset"], text))
        else:
            text += chunk["choices"][0]["delta"].get("content", "")
    content = chunks[-1]["choices"][0]["logprobs"]["content"]
    for offset, before in offsets:
        said = bytes(byte for token in content[:offset] for byte in token["bytes"]).decode()
        assert before == said
    places = [offset for offset, _ in offsets]
    assert places == sorted(places)
    assert places[-1] > 0


def test_several_answers_have_seeds_in_a_row(client: httpx.Client) -> None:
    reply = post(client, n=2, temperature=1.5, max_steps=4, max_tokens=24)
    alone = [
        post(client, seed=seed, temperature=1.5, max_steps=4, max_tokens=24)["choices"][0]
        for seed in (1, 2)
    ]
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]
    assert [c["message"] for c in reply["choices"]] == [c["message"] for c in alone]
    chunks = stream(client, n=2, temperature=1.5, max_steps=4, max_tokens=24)
    for index in (0, 1):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        text = "".join(choice["delta"].get("content", "") for choice in mine)
        assert text == alone[index]["message"]["content"]
        assert mine[-1]["finish_reason"] == alone[index]["finish_reason"]


def test_stops_and_lengths(client: httpx.Client) -> None:
    whole = post(client)["choices"][0]["message"]["content"]
    choice = post(client, stop=["/>", "</svg>"])["choices"][0]
    assert choice["message"]["content"] == whole.partition("/>")[0]
    assert choice["finish_reason"] == "stop"
    short = post(client, max_completion_tokens=3)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 3


def test_log_probabilities_are_the_content_s(client: httpx.Client) -> None:
    choice = post(client, logprobs=True, top_logprobs=2, stop="/>")["choices"][0]
    content = choice["logprobs"]["content"]
    said = bytes(byte for token in content for byte in token["bytes"]).decode()
    assert choice["message"]["content"].startswith(said)
    assert all(len(token["top_logprobs"]) == 2 for token in content)
    last = stream(client, logprobs=True, top_logprobs=2, stop="/>")[-1]["choices"][0]
    assert last["logprobs"] == choice["logprobs"]


def test_json_is_what_was_asked_for(client: httpx.Client) -> None:
    for strict in (True, False):
        wanted = {"name": "person", "schema": SCHEMA, "strict": strict}
        reply = post(client, response_format={"type": "json_schema", "json_schema": wanted})
        jsonschema.validate(json.loads(reply["choices"][0]["message"]["content"]), SCHEMA)
    reply = post(client, response_format={"type": "json_object"}, max_tokens=60)
    assert isinstance(json.loads(reply["choices"][0]["message"]["content"]), dict)
    assert post(client, regex="[ab]{4}")["choices"][0]["message"]["content"].strip("ab") == ""
    assert post(client, choice=["yes", "no"])["choices"][0]["message"]["content"] in ("yes", "no")
    assert post(client, response_format={"type": "text"}) is not None


def test_left_to_right_and_every_knob(client: httpx.Client) -> None:
    post(client, mode="ar", max_steps=None, max_tokens=5)
    knobs = {"effort": "fast", "max_steps": 9, "entropy_bound": 0.3, "t_min": 0.3, "t_max": 0.9}
    knobs |= {"top_k": 9, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1}
    knobs |= {"bad_words": ["xyz"], "presence_penalty": 0.1, "frequency_penalty": 0.1}
    knobs |= {"logit_bias": {"5": -1}, "temperature": 0.7, "logprobs": True}
    post(client, **knobs, logprobs_kind="path", max_tokens=9)
    post(client, hold_settled=True, max_tokens=9)
    post(client, skip_settled=True, max_tokens=9)
    post(client, reasoning_effort="instant", max_tokens=9)


def test_what_cannot_change_an_answer_is_accepted(client: httpx.Client) -> None:
    accepted = {
        "model": "canvaslm-pocket",
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "safety_identifier": "x",
        "prompt_cache_key": "y",
        "verbosity": "low",
        "modalities": ["text"],
        "parallel_tool_calls": True,
        "reasoning_effort": "none",
        "thinking": False,
        "tool_choice": "none",
        "tools": [TOOL],
        "n": 1,
        "top_p": 1,
        "logprobs": False,
        "stop": None,
        "presence_penalty": 0,
    }
    plain = post(client, max_tokens=9)
    assert post(client, max_tokens=9, **accepted)["choices"] == plain["choices"]


def test_a_harness_s_request_is_served(client: httpx.Client) -> None:
    asked = {"model": "canvaslm-pocket", "temperature": 0, "seed": 1234, "max_tokens": 12}
    reply = post(
        client, **asked, stop=["\n\n", "Question:"], messages=[{**DRAW[0], "type": "text"}]
    )
    assert reply == {
        **post(client, **asked, stop=["\n\n", "Question:"]),
        **{name: reply[name] for name in ("id", "created", "usage")},
    }


def test_answers_may_be_given_back(client: httpx.Client) -> None:
    first = post(client, max_tokens=64)["choices"][0]["message"]
    talk = [*DRAW, {**first, "reasoning_content": "hm", "annotations": []}, DRAW[0]]
    plain = [*DRAW, {"role": "assistant", "content": first["content"]}, DRAW[0]]
    parts = [{"type": "text", "text": first["content"]}]
    split = [*DRAW, {"role": "assistant", "content": parts}, DRAW[0]]
    one, two, three = (post(client, messages=m, max_tokens=9) for m in (talk, plain, split))
    assert one["choices"] == two["choices"] == three["choices"]


BIG = {"type": "object", "properties": {"a" * 70_000: {}}}


@pytest.mark.parametrize(
    ("wrong", "param", "status"),
    [
        ({"temperature": -1}, "temperature", 400),
        ({"temperature": True}, "temperature", 400),
        ({"top_p": 2}, "top_p", 400),
        ({"seed": -1}, "seed", 400),
        ({"seed": "1"}, "seed", 400),
        ({"n": 0}, "n", 400),
        ({"n": True}, "n", 400),
        ({"stop": ["a"] * 17}, "stop", 400),
        ({"stop": ""}, "stop", 400),
        ({"presence_penalty": 3}, "presence_penalty", 400),
        ({"logit_bias": {"a": 1}}, "logit_bias", 400),
        ({"logit_bias": {"99999": 1}}, "logit_bias", 400),
        ({"logit_bias": {"1": 101}}, "logit_bias", 400),
        ({"top_logprobs": 2}, "top_logprobs", 400),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", 400),
        ({"max_tokens": 0}, "max_tokens", 400),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", 400),
        ({"max_tokens": 100_000}, "max_tokens", 400),
        ({"messages": []}, "messages", 400),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": "a" * (2 << 20)}]}, "messages", 413),
        ({"messages": [{"role": "user"}]}, "messages", 400),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages", 400),
        ({"messages": [{"role": "assistant"}]}, "messages", 400),
        ({"response_format": {"type": "xml"}}, "response_format", 400),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nix"}},
                }
            },
            "response_format",
            400,
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": BIG},
                }
            },
            "response_format",
            413,
        ),
        ({"response_format": {"type": "json_object"}, "regex": "a"}, "regex", 400),
        ({"response_format": {"type": "json_object"}, "max_tokens": 1}, "max_tokens", 400),
        ({"regex": "("}, "regex", 400),
        ({"regex": "abcdefgh", "max_tokens": 1}, "max_tokens", 400),
        ({"grammar": "start: nix"}, "grammar", 400),
        ({"tools": [TOOL], "tool_choice": "required"}, "tools", 400),
        ({"tools": [TOOL, TOOL]}, "tools", 400),
        ({"tools": [{"type": "web_search"}]}, "tools", 400),
        ({"tool_choice": "required"}, "tool_choice", 400),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
            400,
        ),
        ({"thinking": True}, "thinking", 400),
        ({"reasoning_effort": "medium"}, None, 400),
        ({"thinking": True, "regex": "a"}, "thinking", 400),
        ({"thinking_budget": 4}, "thinking_budget", 400),
        ({"canvas_events": True}, "canvas_events", 400),
        ({"stream_options": {"include_usage": True}}, "stream_options", 400),
        ({"mode": "ar", "effort": "fast"}, "effort", 400),
        ({"mode": "ar", "top_k": 5}, "top_k", 400),
        ({"store": True}, "store", 400),
        ({"audio": {}}, "audio", 400),
        ({"functions": []}, "functions", 400),
        ({"model": "gpt-5"}, "model", 404),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    client: httpx.Client, wrong: dict[str, Any], param: str | None, status: int
) -> None:
    for streamed in (False, True):
        got = client.post(URL, json={"messages": DRAW, "stream": streamed, **wrong})
        if streamed and set(wrong) & {"canvas_events", "stream_options"}:
            continue
        assert got.status_code == status, got.text
        error = got.json()["error"]
        assert error["message"]
        named = (error["param"] or "").split(".")[0]
        assert param is None or named == param, error


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "\\u0000"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "a"}], "seed": 99999999999999999999999}',
        b'{"messages": [{"role": "user", "content": "a"}], "n": ' + b"9" * 6000 + b"}",
        b'{"messages": [{"role": "user", "content": "a"}], "\\ud800": 1}',
        b'{"messages": [{"role": "user", "content": "a"}], "tools": ' + b"[" * 3000 + b"]" * 3000,
        b"[]",
        b"null",
        b"{",
        b'"\xff"',
    ],
)
def test_odd_json_is_the_client_s_fault(client: httpx.Client, body: bytes) -> None:
    got = client.post(URL, content=body, headers={"content-type": "application/json"})
    assert got.status_code == 400, got.text
    assert got.json()["error"]["type"] == "invalid_request_error"
