"""`/v1/edits`: a span written anew with all else as it was, and whole texts repaired."""

import json
from typing import Any

import httpx
import pytest

TEXT = 'def f(words):\n    """Größe 🙂."""\n    total = 0\n    return total\n'
START = TEXT.index("total = 0")
END = START + len("total = 0")


def edit(client: httpx.Client, **given: Any) -> httpx.Response:
    return client.post("/v1/edits", json={"text": TEXT, "seed": 1, **given})


def chunks(answer: httpx.Response) -> list[Any]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.fixture(scope="module")
def whole(server: Any) -> Any:
    """The reply to an edit of the span, not streamed."""
    with server.client() as client:
        return edit(client, span=[START, END]).json()


def test_all_outside_of_the_span_comes_back_as_it_was(whole: Any) -> None:
    assert whole["object"] == "edit"
    assert whole["before"] == TEXT[START:END]
    assert whole["document"] == TEXT[:START] + whole["text"] + TEXT[END:]
    start, end = whole["span"]
    assert whole["document"][start:end] == whole["text"]
    assert whole["noised"] >= 1
    assert whole["usage"]["steps"] > 0 < whole["usage"]["prompt_tokens"]


def test_a_text_that_is_there_once_is_a_span(client: httpx.Client, whole: Any) -> None:
    found = edit(client, find="total = 0").json()
    for name in ("text", "document", "span", "noised", "seed"):
        assert found[name] == whole[name]


def test_a_drawn_seed_is_told_and_gives_the_same_text(client: httpx.Client) -> None:
    found = edit(client, span=[START, END], seed=None).json()
    again = edit(client, span=[START, END], seed=found["seed"]).json()
    assert again["document"] == found["document"]


@pytest.mark.parametrize("shown", [False, True, "changes"])
def test_a_stream_ends_with_the_reply(client: httpx.Client, whole: Any, shown: Any) -> None:
    *drafts, last = chunks(edit(client, span=[START, END], stream=True, canvas_events=shown))
    assert last["edit"]["document"] == whole["document"]
    assert bool(drafts) == bool(shown)
    assert all(chunk["choices"] == [] for chunk in drafts)
    if shown is True:
        assert "".join(drafts[-1]["canvas"]["tokens"]) == whole["text"]


def test_a_constraint_holds(client: httpx.Client) -> None:
    found = edit(client, find="total = 0", regex="total = [1-9]", strength=1).json()
    assert found["text"] in {f"total = {digit}" for digit in range(1, 10)}


def test_an_instruction_is_part_of_the_prompt(client: httpx.Client, whole: Any) -> None:
    found = edit(client, find="total = 0", instruction="Count from one.").json()
    assert found["usage"]["prompt_tokens"] > whole["usage"]["prompt_tokens"]


def test_a_repair_never_makes_a_text_less_likely(client: httpx.Client) -> None:
    broken = TEXT.replace("return", "retxrn")
    found = edit(client, text=broken, repair=True, rounds=1).json()
    assert found["object"] == "repair"
    assert found["logprob"] >= found["logprob_before"]
    changed = broken
    for change in reversed(found["changes"]):
        assert broken[change["start"] : change["end"]] == change["before"]
        changed = changed[: change["start"]] + change["after"] + changed[change["end"] :]
    assert changed == found["document"]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "span"),
        ({"span": [0, 1], "find": "def"}, "span"),
        ({"span": [3, 3]}, "span"),
        ({"span": [5, 3]}, "span"),
        ({"span": [0, 10_000]}, "span"),
        ({"span": [-1, 3]}, "span"),
        ({"span": [0, 1, 2]}, "span"),
        ({"span": [0, 1.5]}, "span"),
        ({"find": "not there"}, "find"),
        ({"find": "total"}, "find"),
        ({"find": ""}, "find"),
        ({"find": "def", "strength": 0}, "strength"),
        ({"find": "def", "strength": 2}, "strength"),
        ({"find": "def", "instruction": " "}, "instruction"),
        ({"find": "def", "doubt": 3}, "doubt"),
        ({"find": "def", "n": 2}, "n"),
        ({"find": "def", "stop": ["a"]}, "stop"),
        ({"find": "def", "canvas_events": True}, "canvas_events"),
        ({"repair": True, "find": "def"}, "find"),
        ({"repair": True, "stream": True, "canvas_events": True}, "canvas_events"),
        ({"repair": True, "regex": "a"}, "regex"),
        ({"repair": True, "doubt": 0}, "doubt"),
        ({"text": "", "repair": True}, "text"),
        ({"text": "a\0b", "span": [0, 1]}, None),
        ({"text": "x = y\n" * 4000, "span": [0, 1]}, "text"),
        ({"text": "x = y\n" * 400, "span": [0, 2000]}, "span"),
        ({"find": "def", "max_tokens": 4}, "max_tokens"),
    ],
)
def test_what_cannot_be_done_is_named(
    client: httpx.Client, given: dict[str, Any], param: str | None
) -> None:
    answer = edit(client, **given)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert param is None or (error["param"] or "").startswith(param), error
