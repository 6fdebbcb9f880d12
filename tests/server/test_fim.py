"""`/v1/fim/completions`: the text of a gap, as each kind of editor's client reads it."""

import json
from typing import Any

import httpx
import openai
import pytest

import canvaslm

GAP = {"prompt": "def add(a, b):\n    return ", "suffix": "\n", "max_tokens": 3, "seed": 1}


def fill(client: httpx.Client, **changed: Any) -> httpx.Response:
    return client.post("/v1/fim/completions", json={**GAP, **changed})


def chunks(answer: httpx.Response) -> list[Any]:
    """The data of a stream of events, which ends with [DONE]."""
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.fixture(scope="module")
def whole(server: Any) -> Any:
    """The reply, not streamed."""
    with server.client() as client:
        return fill(client).json()


def test_text_is_where_mercurys_and_codestrals_clients_read_it(whole: Any) -> None:
    found = whole
    (choice,) = found["choices"]
    assert choice["text"] == choice["message"]["content"]
    assert choice["finish_reason"] in ("stop", "length")
    assert found["object"] == "text_completion"
    assert found["seed"] == GAP["seed"]
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] <= GAP["max_tokens"]
    assert usage["steps"] > 0


def test_it_is_the_engines_own_answer_and_the_same_each_time(
    client: httpx.Client, whole: Any
) -> None:
    own = canvaslm.load().infill(
        GAP["prompt"], GAP["suffix"], max_gap=3, params=canvaslm.Params(seed=1)
    )
    assert whole["choices"][0]["text"] == own.text
    assert fill(client, seed=None, random_seed=1).json()["choices"][0]["text"] == own.text


def test_a_drawn_seed_is_told_and_gives_the_same_text(client: httpx.Client) -> None:
    found = fill(client, seed=None).json()
    assert fill(client, seed=found["seed"]).json()["choices"] == found["choices"]


def test_a_stream_has_the_same_text_in_both_places(client: httpx.Client, whole: Any) -> None:
    whole = whole["choices"][0]
    found = chunks(fill(client, stream=True, stream_options={"include_usage": True}))
    choices = [chunk["choices"][0] for chunk in found if chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    assert "".join(choice["delta"]["content"] for choice in choices) == whole["text"]
    assert choices[-1]["finish_reason"] == whole["finish_reason"]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["steps"] > 0


@pytest.mark.parametrize("shown", [True, "changes"])
def test_drafts_come_before_the_text(client: httpx.Client, whole: Any, shown: Any) -> None:
    found = chunks(fill(client, stream=True, canvas_events=shown))
    drafts = [chunk for chunk in found if "canvas" in chunk]
    assert drafts == found[: len(drafts)]
    assert all(chunk["choices"] == [] for chunk in drafts)
    first = drafts[0]["canvas"]
    assert len(first["tokens"]) == len(first["certainty"]) <= GAP["max_tokens"] + 2
    assert any("changes" in chunk["canvas"] for chunk in drafts) == (shown == "changes")
    text = "".join(c["choices"][0]["text"] for c in found if c["choices"])
    assert text == whole["choices"][0]["text"]


def test_openais_client_reads_it_as_a_completion(server: Any) -> None:
    """LiteLLM's route to Inception points the client's base at /v1/fim like this."""
    base = server.base_url + "/v1/fim"
    with openai.OpenAI(base_url=base, api_key="none", max_retries=0) as client:
        given = {"model": "default", "prompt": GAP["prompt"], "suffix": "\n", "max_tokens": 3}
        found = client.completions.create(**given, seed=1)
        stream = client.completions.create(**given, seed=1, stream=True)
        assert "".join(c.choices[0].text for c in stream) == found.choices[0].text


def test_stop_cuts_what_was_written(client: httpx.Client, whole: Any) -> None:
    text = whole["choices"][0]["text"]
    stop = text[len(text) // 2]
    (choice,) = fill(client, stop=[stop, "never"]).json()["choices"]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_a_constraint_holds(client: httpx.Client) -> None:
    text = fill(client, choice=["a + b", "b + a"], max_tokens=8).json()["choices"][0]["text"]
    assert text in ("a + b", "b + a")


@pytest.mark.parametrize("given", [{"prompt": "", "suffix": ""}, {"suffix": None}])
def test_either_side_may_be_missing(client: httpx.Client, given: dict[str, Any]) -> None:
    assert fill(client, **given, max_tokens=2).status_code == 200


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 4}, "max_completion_tokens"),
        ({"random_seed": 2}, "random_seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 63}, None),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"n": 2}, "n"),
        ({"mode": "ar"}, "mode"),
        ({"effort": "quality"}, "effort"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"logprobs": 1}, "logprobs"),
        ({"stop": [""]}, "stop"),
        ({"canvas_events": True}, "canvas_events"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"regex": "["}, "regex"),
        ({"regex": "a", "choice": ["a"]}, "regex"),
        ({"suffix": "a\0"}, None),
        ({"prompt": "x = y\n" * 4000}, "prompt"),
        ({"best_of": 2}, "best_of"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_named(
    client: httpx.Client, changed: dict[str, Any], param: str | None, stream: bool
) -> None:
    if stream and changed.keys() & {"canvas_events", "stream_options"}:
        return
    answer = fill(client, **changed, stream=stream)
    assert answer.status_code == 400
    assert param is None or answer.json()["error"]["param"].startswith(param)


def test_what_cannot_fit_is_refused_before_its_tokens_are_counted(server: Any, lm: Any) -> None:
    longest = lm.config.max_positions * lm.tokenizer.longest
    edit = {"text": "a" * (longest + 1), "span": [0, 1]}
    with server.client() as client:
        for reply in (fill(client, prompt="a" * longest), client.post("/v1/edits", json=edit)):
            assert reply.status_code == 413
            assert str(longest) in reply.json()["error"]["message"]
