"""A client of draft events, written from docs/http.md alone: what it shows is always the truth."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from canvaslm import LM

DRAW = "Draw: a small red circle at the top left and a large blue square at the bottom."
THREE = (
    "Draw: a medium purple circle at the top right, a medium black circle at the top left and a "
    "large pink square at the bottom right."
)
"""Takes passes enough for its start to leave early."""
UNTOLD = 0.05
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": DRAW}]},
    "/v1/completions": {"prompt": "def add(a, b):\n    return", "max_tokens": 300, "max_steps": 6},
    "/v1/fim/completions": {"prompt": "def add(a, b):\n    return ", "suffix": "\n"},
    "/v1/responses": {"input": DRAW},
}


@dataclass
class Canvas:
    """What is known of the latest draft."""

    at: tuple[int, int] = (-1, -1)
    offset: int = 0
    tokens: list[str] = field(default_factory=list)
    certainty: list[float] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    def take(self, draft: dict[str, Any]) -> None:
        at = (draft["canvas"], draft["step"])
        assert at > self.at, "drafts come in order"
        assert 1 <= draft["step"] <= draft["max_steps"]
        if "tokens" in draft:
            self.tokens, self.certainty = draft["tokens"], draft["certainty"]
            self.accepted = draft["accepted"]
            assert len(draft["noise"]) == len(self.tokens)
        else:
            assert (draft["canvas"], draft["since"], draft["offset"]) == (*self.at, self.offset)
            self._change(draft["length"], draft["changes"])
        self.at, self.offset = at, draft["offset"]
        assert len(self.tokens) == len(self.certainty) == len(self.accepted)

    def _change(self, length: int, changes: list[list[Any]]) -> None:
        more = range(len(self.tokens), length)
        self.tokens = self.tokens[:length] + [""] * len(more)
        self.certainty = self.certainty[:length] + [0.0] * len(more)
        self.accepted = self.accepted[:length] + [0] * len(more)
        assert set(more) <= {place for place, *_ in changes}
        for place, token, certainty, accepted in changes:
            self.tokens[place], self.certainty[place] = token, certainty
            self.accepted[place] = accepted


@dataclass
class View:
    """What a person would see of one answer: its text, and behind it the draft."""

    text: str = ""
    canvas: Canvas = field(default_factory=Canvas)
    history: list[Canvas] = field(default_factory=list)
    forecasts: list[str] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        draft = event if event.get("type") == "response.canvas.draft" else event.get("canvas")
        if draft is not None:
            self.canvas.take(draft)
            self.history.append(Canvas(**{**self.canvas.__dict__, "tokens": [*self.canvas.tokens]}))
            self.forecasts.append(self.text + "".join(self.canvas.tokens))
        self.text += text_of(event)


def text_of(event: dict[str, Any]) -> str:
    """What an event says for good."""
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    choices = event.get("choices") or [{}]
    return str(choices[0].get("text") or choices[0].get("delta", {}).get("content") or "")


def stream(client: httpx.Client, path: str, **more: Any) -> Iterator[dict[str, Any]]:
    body = {**REQUESTS[path], "seed": 3, "stream": True, **more}
    with client.stream("POST", path, json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                assert "error" not in event or event["error"] is None
                yield event


def watch(client: httpx.Client, path: str, **more: Any) -> View:
    view = View()
    for event in stream(client, path, **more):
        view.take(event)
    return view


@pytest.mark.parametrize("path", REQUESTS)
def test_changes_show_what_whole_drafts_show(client: httpx.Client, path: str) -> None:
    whole = watch(client, path, canvas_events=True)
    changed = watch(client, path, canvas_events="changes")
    steps = {canvas.at: canvas for canvas in whole.history}
    assert len(steps) > 1
    assert changed.text == whole.text
    for canvas in changed.history:
        other = steps[canvas.at]
        assert (canvas.tokens, canvas.offset) == (other.tokens, other.offset)
        assert canvas.accepted == other.accepted
        for here, there in zip(canvas.certainty, other.certainty, strict=True):
            assert abs(here - there) < UNTOLD + 1e-9


@pytest.mark.parametrize("path", REQUESTS)
def test_drafts_say_nothing_about_the_answer(client: httpx.Client, path: str) -> None:
    without = watch(client, path)
    assert without.history == []
    assert watch(client, path, canvas_events=True).text == without.text


@pytest.mark.parametrize("hold", [False, True])
def test_the_last_draft_is_the_answer(client: httpx.Client, hold: bool) -> None:
    view = watch(client, "/v1/chat/completions", canvas_events=True, hold_settled=hold)
    assert view.forecasts[-1] == view.text


def test_an_offset_counts_what_is_settled(client: httpx.Client, lm: LM) -> None:
    ends = {str(id): -100 for id in lm.settings.eos_ids}
    view = watch(
        client, "/v1/completions", canvas_events=True, max_steps=3, temperature=0, logit_bias=ends
    )
    length = lm.config.canvas_length
    assert {canvas.at[0]: canvas.offset for canvas in view.history} == {0: 0, 1: length}
    assert view.text


@pytest.mark.parametrize("seed", [2, 3])
def test_text_that_left_early_is_what_the_offset_counts(
    client: httpx.Client, lm: LM, seed: int
) -> None:
    prompt = lm.tokenizer.render([{"role": "user", "content": THREE}])
    said, seen = "", []
    for event in stream(
        client,
        "/v1/completions",
        prompt=prompt,
        seed=seed,
        logprobs=0,
        hold_settled=True,
        canvas_events=True,
    ):
        if "canvas" in event:
            seen.append((event["canvas"]["offset"], said))
        said += text_of(event)
        for choice in event["choices"]:
            tokens = (choice["logprobs"] or {}).get("tokens")
    assert any(offset for offset, _ in seen)
    for offset, text in seen:
        assert text == "".join(tokens[:offset])
