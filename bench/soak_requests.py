"""What bench/soak.py asks: requests with one right answer each, and mistakes.

`said` makes of a reply, or of the events of a stream, what must not depend on company: texts,
probabilities and counts of tokens, without ids, times and what the cache had.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from canvaslm import tasks

Json = dict[str, Any]
TOLERANCE = 1e-3  # of log-probabilities and probabilities
VOLATILE = frozenset(
    {"id", "created", "created_at", "completed_at", "item_id", "call_id", "cached_tokens"}
    | {"prompt_tokens_details", "input_tokens_details", "timings", "system_fingerprint", "passes"}
)
ENDS = {"1": -100, "6": -100}
COLOURS = ("red", "green", "blue", "yellow")
SCHEMA = {
    "type": "object",
    "properties": {"shape": {"enum": ["box", "ball"]}, "count": {"type": "integer"}},
    "required": ["shape", "count"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "draw", "parameters": SCHEMA}}
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">\n'


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request; with `streams` it may also be asked as a stream."""

    name: str
    path: str
    body: Json
    streams: bool = False

    @property
    def id(self) -> str:
        return json.dumps([self.path, self.body], sort_keys=True)

    def sent(self, *, stream: bool, events: bool | str = False) -> bytes:
        """The body, of a stream with or without events of the canvas."""
        if not stream:
            return json.dumps(self.body).encode()
        body = self.body | {"stream": True} | ({"canvas_events": events} if events else {})
        if self.path.endswith("completions"):
            body |= {"stream_options": {"include_usage": True}}
        return json.dumps(body).encode()


def good(*, seeds: int) -> list[Asked]:
    """Every kind with a few seeds, and of prompts short and long."""
    return [asked for seed in range(seeds) for asked in kinds(seed)]


def kinds(seed: int) -> Iterator[Asked]:
    """One of each."""
    rng = random.Random(seed)
    names = ("scenes", "sudoku")
    scene, puzzle = (
        (task := tasks.get(name)).sample(rng, split="test", bin=task.bins[0]).prompt
        for name in names
    )
    story = "\n".join(f"{n}. A {rng.choice(COLOURS)} box stands here." for n in range(60))
    yield from chats(seed, scene=scene, puzzle=puzzle, story=story)
    yield from responses(seed, scene=scene)
    yield from texts(seed)
    yield from rewritings(seed)
    yield from answers(scene, story=story)


def chats(seed: int, *, scene: str, puzzle: str, story: str) -> Iterator[Asked]:
    def chat(name: str, text: str, **more: Any) -> Asked:
        messages = [{"role": "user", "content": text}]
        if name == "chat in turns":
            messages += [{"role": "assistant", "content": DRAWN}, *messages]
        body = {"messages": messages, "seed": seed, "max_tokens": 200} | more
        path = "/v1/chat/completions"
        return Asked(name=name, path=path, body=body, streams=True)

    form = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
    yield chat("chat", scene)
    yield chat("chat, a puzzle", puzzle)
    yield chat("chat, fast", scene, effort="fast")
    yield chat("chat, several", scene, n=3)
    yield chat("chat, left to right", scene, mode="ar", max_tokens=60)
    yield chat("chat, scored", scene, logprobs=True, top_logprobs=2, max_tokens=40)
    yield chat("chat in turns", scene)
    yield chat("chat, long prompt", f"{story}\n{scene}", max_tokens=40)
    yield chat("chat, two canvases", scene, max_tokens=300, max_steps=6, logit_bias=ENDS)
    yield chat("chat, JSON", scene, response_format=form)
    yield chat("chat, a pattern", scene, regex="(red|green|blue) (box|ball)")


def responses(seed: int, *, scene: str) -> Iterator[Asked]:
    body = {"input": scene, "seed": seed, "max_output_tokens": 200}
    yield Asked(name="response", path="/v1/responses", body=body, streams=True)
    form = {"format": {"type": "json_schema", "name": "thing", "schema": SCHEMA}}
    yield Asked(
        name="response, JSON", path="/v1/responses", body=body | {"text": form}, streams=True
    )


def texts(seed: int) -> Iterator[Asked]:
    path, body = "/v1/completions", {"seed": seed, "max_tokens": 60}
    yield Asked(name="text", path=path, body=body | {"prompt": DRAWN}, streams=True)
    both = body | {"prompt": [DRAWN, "12345"], "echo": True}
    yield Asked(name="texts", path=path, body=both, streams=True)
    gap = {"prompt": DRAWN, "suffix": "</svg>", "max_tokens": 24, "seed": seed}
    yield Asked(name="text, before a suffix", path=path, body=gap)
    yield Asked(name="fim", path="/v1/fim/completions", body=gap, streams=True)
    llama = {"input_prefix": DRAWN, "input_suffix": "</svg>", "n_predict": 24, "seed": seed}
    yield Asked(name="infill", path="/infill", body=llama)


def rewritings(seed: int) -> Iterator[Asked]:
    text = f'{DRAWN}<rect x="8" y="8" width="16" height="16" fill="red"/>\n</svg>'
    body = {"text": text, "seed": seed}
    yield Asked(name="edit", path="/v1/edits", body=body | {"find": "red"}, streams=True)
    yield Asked(name="repair", path="/v1/edits", body=body | {"repair": True, "rounds": 2})


def answers(scene: str, *, story: str) -> Iterator[Asked]:
    choice = {"type": "choice", "instructions": "Which colour?"}
    options = [{"value": name} for name in COLOURS]
    questions = [choice | {"choices": options}, {"type": "predicate", "instructions": "Is it red?"}]
    for name, text in (("decisions", scene), ("decisions, long", f"{story}\n{scene}")):
        yield Asked(name=name, path="/v1/decisions", body={"input": text, "questions": questions})
    named = {"colour": choice | {"criteria": list(COLOURS)}}
    yield Asked(name="systemone", path="/v1/systemone", body={"state": scene, "questions": named})
    yield Asked(name="tokenize", path="/v1/tokenize", body={"text": scene})
    yield Asked(name="detokenize", path="/v1/detokenize", body={"tokens": [50, 60, 70]})


def said(path: str, reply: Json) -> Any:
    """What of a reply has to be right."""
    if path in ("/v1/chat/completions", "/v1/completions", "/v1/fim/completions"):
        choices = [choice_of(choice) for choice in reply["choices"]]
        usage = reply["usage"]
        return {"choices": choices, "tokens": usage["completion_tokens"], "steps": usage["steps"]}
    return plain(reply)


def choice_of(choice: Json) -> Json:
    """A choice of a chat or of a completion."""
    message = choice.get("message") or {}
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return {
        "text": choice.get("text") or message.get("content") or "",
        "thoughts": message.get("reasoning_content") or "",
        "calls": [{"name": call["name"], "arguments": call["arguments"]} for call in calls],
        "ended": choice["finish_reason"],
        "logprobs": plain(choice.get("logprobs")),
    }


def streamed(path: str, events: Sequence[Json | None]) -> Any:
    """The same of a stream's events. Raises ValueError for a stream that is not whole."""
    found = [event for event in events if event is not None]
    if path == "/v1/responses":
        return response_streamed(found)
    if not events or events[-1] is not None:
        raise ValueError("the stream has no [DONE]")
    if path == "/v1/edits":
        return plain(found[-1]["edit"])
    choices: dict[int, Json] = {}
    usage: Json = {}
    for event in found:
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            add(choices.setdefault(choice["index"], empty()), choice)
    shown = [choices[number] for number in sorted(choices)]
    for choice in shown:
        choice["calls"] = [choice["calls"][number] for number in sorted(choice["calls"])]
    return {"choices": shown, "tokens": usage["completion_tokens"], "steps": usage["steps"]}


def empty() -> Json:
    return {"text": "", "thoughts": "", "calls": {}, "ended": None, "logprobs": None}


def add(whole: Json, choice: Json) -> None:
    """What a chunk says of a choice."""
    delta = choice.get("delta") or {}
    whole["text"] += choice.get("text") or delta.get("content") or ""
    whole["thoughts"] += delta.get("reasoning_content") or ""
    whole["ended"] = choice["finish_reason"] or whole["ended"]
    if choice.get("logprobs") is not None:
        whole["logprobs"] = joined(whole["logprobs"], plain(choice["logprobs"]))
    for call in delta.get("tool_calls") or []:
        known = whole["calls"].setdefault(call["index"], {"name": "", "arguments": ""})
        for name in known:
            known[name] += call["function"].get(name) or ""


def joined(before: Any, more: Any) -> Any:
    """Lists of log-probabilities behind each other."""
    if before is None:
        return more
    return {name: (before[name] or []) + (more[name] or []) for name in more}


def response_streamed(events: Sequence[Json]) -> Any:
    last = events[-1] if events else {}
    if last.get("type") not in ("response.completed", "response.incomplete"):
        raise ValueError(f"the last event is {last.get('type')}")
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    whole = last["response"]
    parts = [part for item in whole["output"] for part in item.get("content") or []]
    if "".join(deltas) != "".join(part.get("text", "") for part in parts):
        raise ValueError("the deltas are not the text of the whole response")
    return plain(whole)


def plain(value: Any) -> Any:
    """Without what changes from one time to the next."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Equal, numbers with a fraction nearly."""
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A request that must be refused with one of these, in the shape of errors."""

    name: str
    method: str
    path: str
    sent: bytes
    status: tuple[int, ...] = (400,)


def bad(*, largest: int) -> list[Bad]:
    """Each kind of mistake."""
    say = {"messages": [{"role": "user", "content": "red"}]}

    def post(name: str, path: str, body: Any, status: int = 400) -> Bad:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Bad(name=name, method="POST", path=path, sent=sent, status=(status,))

    chat = "/v1/chat/completions"
    return [
        post("no JSON", chat, b'{"messages": ['),
        post("no UTF-8", chat, b'{"messages": "\xff\xfe"}'),
        post("unknown field", chat, say | {"colour": 1}),
        post("wrong type", chat, {"messages": 3}),
        post("out of range", chat, say | {"top_p": 9}),
        post("unknown model", chat, say | {"model": "nobody"}, 404),
        post("broken pattern", chat, say | {"regex": "(("}),
        post("impossible schema", chat, say | {"response_format": {"type": "json_schema"}}),
        post("prompt too long", chat, {"messages": [{"role": "user", "content": "red 1" * 9000}]}),
        post("too deep", chat, b"[" * 5000 + b"]" * 5000),
        post("a tool that nobody taught", chat, say | {"tools": [TOOL]}),
        post(
            "an image", chat, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
        ),
        post("no questions", "/v1/decisions", {"input": "red", "questions": []}),
        post("span outside", "/v1/edits", {"text": "red", "span": [2, 9]}),
        post("embeddings", "/v1/embeddings", {"input": "red"}, 404),
        post("nowhere", "/v1/nowhere", {}, 404),
        Bad(name="wrong method", method="GET", path=chat, sent=b"", status=(404, 405)),
        post("oversize", chat, b'{"messages": "' + b"x" * (largest + 1000) + b'"}', 413),
    ]
