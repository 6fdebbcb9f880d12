"""Editors asking for the text of a gap, as their plugins ask and as they read the answer."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.server.conftest import Server

BEFORE = "import math\n\n\ndef area(radius):\n    return "
AFTER = "\n\n\nprint(area(2))\n"
TIMINGS = [
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/prompt_per_second",
    "timings/predicted_n",
    "timings/predicted_ms",
    "timings/predicted_per_token_ms",
    "timings/predicted_per_second",
]
READ = ["content", *TIMINGS, "truncated", "tokens_cached"]
RING: list[dict[str, Any]] = [
    {"text": "def square(a):\n    return a * a\n", "time": 1763700000.25, "filename": "shapes.py"},
    {"text": "TAU = 6.28\n", "time": 1763700001, "filename": "numbers.py"},
]
LLAMA_VIM: dict[str, Any] = {
    "model": "",
    "id_slot": 0,
    "input_prefix": "import math\n\n\ndef area(radius):\n",
    "input_suffix": "\n\n\nprint(area(2))\n",
    "input_extra": RING,
    "prompt": "    return ",
    "n_predict": 6,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.90,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 20000,
    "response_fields": READ,
}
LLAMA_VSCODE: dict[str, Any] = {
    name: LLAMA_VIM[name]
    for name in (
        *("input_prefix", "input_suffix", "input_extra", "prompt", "n_predict", "n_indent"),
        *("top_k", "stream", "samplers", "cache_prompt", "t_max_prompt_ms", "t_max_predict_ms"),
    )
} | {"top_p": 0.99}
CONTINUE: dict[str, Any] = {
    "model": "canvaslm-pocket",
    "prompt": BEFORE,
    "suffix": AFTER,
    "max_tokens": 6,
    "temperature": 0.01,
    "stop": ["/src/", "#- coding: utf-8", "```", "\n\n", "\r\n\r\n", "\ndef"],
    "stream": True,
}


def events(answer: httpx.Response) -> Iterator[Any]:
    """A stream as a plain reader of server-sent events takes it."""
    assert answer.status_code == 200, answer.text
    for line in answer.text.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


def test_continue_reads_codestrals_stream(client: httpx.Client) -> None:
    headers = {"Accept": "application/json", "x-api-key": "none", "Authorization": "Bearer none"}
    got = client.post("/v1/fim/completions", json={**CONTINUE, "random_seed": 5}, headers=headers)
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in events(got))
    whole = {**CONTINUE, "seed": 5, "stream": False}
    message = client.post("/v1/fim/completions", json=whole).json()["choices"][0]["message"]
    assert text == message["content"]


def test_continue_reads_openais_completions_with_a_suffix(client: httpx.Client) -> None:
    got = client.post("/v1/completions", json={**CONTINUE, "seed": 5}, headers={"api-key": ""})
    text = "".join(chunk["choices"][0]["text"] or "" for chunk in events(got))
    other = client.post("/v1/fim/completions", json={**CONTINUE, "seed": 5})
    assert text == "".join(chunk["choices"][0]["text"] for chunk in events(other))


def test_continue_reads_completions_of_a_template(client: httpx.Client) -> None:
    """Without a provider that knows gaps it writes the gap's tags into the prompt itself."""
    prompt = f"<fim_prefix>{BEFORE}<fim_suffix>{AFTER}<fim_middle>"
    asked = {**CONTINUE, "prompt": prompt, "top_p": 1, "presence_penalty": 0, "seed": 5}
    del asked["suffix"]
    for chunk in events(client.post("/v1/completions", json=asked)):
        assert isinstance(chunk["choices"][0]["text"], str)


@pytest.mark.parametrize("body", [LLAMA_VIM, LLAMA_VSCODE], ids=["vim", "vscode"])
def test_llama_cpps_plugins_find_what_they_read(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post("/infill", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found["content"], str)
    assert found["truncated"] is False
    assert found["tokens_cached"] >= 0
    if "response_fields" in body:
        assert list(found) == READ
        assert all(found[name] >= 0 for name in TIMINGS)
    else:
        assert all(found["timings"][name.partition("/")[2]] >= 0 for name in TIMINGS)
        assert found["generation_settings"]["top_k"] == 40


@pytest.mark.parametrize("chunks", [RING, []])
def test_llama_vims_ring_is_taken_without_writing(client: httpx.Client, chunks: list[Any]) -> None:
    """It tells the server of other files between keystrokes, and reads nothing."""
    told = {
        "id_slot": 0,
        "input_prefix": "",
        "input_suffix": "",
        "input_extra": chunks,
        "prompt": "",
        "n_predict": 0,
        "temperature": 0.0,
        "stream": False,
        "samplers": [],
        "cache_prompt": True,
        "t_max_prompt_ms": 1,
        "t_max_predict_ms": 1,
    }
    assert client.post("/infill", json={**told, "response_fields": [""]}).json() == {}
    assert client.post("/infill", json=told).json()["content"] == ""


def test_a_keystroke_takes_the_place_of_the_last_one(server: Server, client: httpx.Client) -> None:
    """Plugins kill the request of the last keystroke and send the next: nothing piles up."""
    engine = server.app.state.service.engine
    slow = {**LLAMA_VIM, "n_predict": 255, "t_max_predict_ms": 0}
    for _ in range(5):
        with server.client() as hasty, pytest.raises(httpx.TimeoutException):
            hasty.post("/infill", json=slow, timeout=0.05)
    assert client.post("/infill", json=LLAMA_VIM).status_code == 200
    ends = time.monotonic() + 20
    while engine.stats.active + engine.stats.waiting and time.monotonic() < ends:
        time.sleep(0.02)
    assert engine.stats.active + engine.stats.waiting == 0
