"""Events of an answer as OpenAI's chat chunks, and the message that they add up to."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from canvaslm.engine.events import Done, Draft, Text
from canvaslm.engine.requests import as_event
from canvaslm.engine.result import Result
from canvaslm.engine.scoring.token import TokenLogprob
from canvaslm.server.asking.thinking import Closed
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.tokens import IMPOSSIBLE, owners, sum_usage
from canvaslm.text.controls import QUOTE
from canvaslm.text.spans import Broken, Thought, ToolCall
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]
Name = Callable[[], str]


def call_name() -> str:
    """An id that no other call has."""
    return f"call_{secrets.token_hex(12)}"


class Telling:
    """Makes deltas of one answer's events; texts and calls are given once, in order.

    A call that cannot be read becomes content, without its control tokens, and a note. Without
    `parallel` calls after the first become notes. An answer that is `bound` by a constraint is
    complete however long it is.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        parallel: bool = True,
        bound: bool = False,
        name: Name = call_name,
    ) -> None:
        self.calls: list[ToolCall] = []
        self.notes: list[str] = []
        self.tokenizer, self._name = tokenizer, name
        self._parallel, self._bound = parallel, bound

    def take(self, event: object) -> list[Json]:
        """The deltas that an event gives; none for a draft or the end."""
        match event:
            case Text(delta=text) if text:
                return [{"content": text}]
            case Thought(text=text) if text:
                return [{"reasoning_content": text}]
            case ToolCall():
                return self._call(event)
            case Broken():
                return self._broken(event)
        return []

    def _call(self, call: ToolCall) -> list[Json]:
        if self.calls and not self._parallel:
            self.notes.append(
                f"a further call, of {call.name}, was left out: parallel_tool_calls is false"
            )
            return []
        index, text = len(self.calls), arguments_text(call)
        self.calls.append(call)
        head = {"id": self._name(), "type": "function"}
        first = {"index": index, **head, "function": {"name": call.name, "arguments": ""}}
        then = {"index": index, "function": {"arguments": text}}
        return [{"tool_calls": [first]}, {"tool_calls": [then]}]

    def _broken(self, broken: Broken) -> list[Json]:
        if broken.kind == "thought":
            self.notes.append(f"a thought did not end: {broken.reason}")
            return [{"reasoning_content": broken.text}] if broken.text else []
        self.notes.append(f"a tool call could not be read and is in the content: {broken.reason}")
        text = without_controls(broken.text, self.tokenizer)
        return [{"content": text}] if text else []

    def finish_reason(self, result: Result) -> str:
        """OpenAI's word for why it ended."""
        if result.finish_reason == "length" and not self._bound:
            return "length"
        return "tool_calls" if self.calls else "stop"


def arguments_text(call: ToolCall) -> str:
    """The arguments of a call as JSON text."""
    return json.dumps(call.arguments, ensure_ascii=False)


def without_controls(text: str, tokenizer: Tokenizer) -> str:
    """A text without control strings; quotes of calls become plain ones."""
    names = sorted((tokenizer.token_text(id) for id in tokenizer.special_ids), key=len)
    pattern = re.compile("|".join(map(re.escape, reversed(names))) or "(?!)")
    while True:
        cleared = pattern.sub(lambda match: '"' if match[0] == QUOTE else "", text)
        if cleared == text:
            return text
        text = cleared  # what is left may make a new one together


def message_of(result: Result, telling: Telling) -> Json:
    """The message that the deltas of a whole answer add up to."""
    content, reasoning = [], []
    calls: list[Json] = []
    for span in result.spans or ():
        for delta in telling.take(as_event(span)):
            content.append(delta.get("content", ""))
            reasoning.append(delta.get("reasoning_content", ""))
            for part in delta.get("tool_calls", ()):
                join_call(calls, part)
    text, thought = "".join(content), "".join(reasoning)
    message: Json = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": None,
    }
    if thought:
        message["reasoning_content"] = thought
    return {**message, "tool_calls": calls} if calls else message


def join_call(calls: list[Json], part: Json) -> None:
    """Add a piece of a streamed call to the calls so far."""
    if "id" in part:
        calls.append({"id": part["id"], "type": "function", "function": dict(part["function"])})
    else:
        calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]


def choice_of(result: Result, *, index: int, telling: Telling, logprobs: bool) -> Json:
    """A choice of a response that comes at once."""
    message = message_of(result, telling)
    return {"index": index, "message": message, **ending(result, telling, logprobs=logprobs)}


def ending(result: Result, telling: Telling, *, logprobs: bool) -> Json:
    """What is known of a choice at its end."""
    shown = content_logprobs(result, telling.tokenizer) if logprobs else None
    made: Json = {"logprobs": shown, "finish_reason": telling.finish_reason(result)}
    notes = [*telling.notes, *result.notes]
    return {**made, "notes": notes} if notes else made


def content_logprobs(result: Result, tokenizer: Tokenizer) -> Json:
    """Those of the tokens that are the content's, in OpenAI's shape."""
    entries = result.logprobs or ()
    skipped = len(result.token_ids) - len(entries)
    whose = list(owners(result.token_ids, tokenizer))[skipped:]
    kept = [e for e, owner in zip(entries, whose, strict=True) if owner == "answer"]
    return {"content": [show_token(entry) for entry in kept], "refusal": None}


def show_token(entry: TokenLogprob) -> Json:
    """A token with its log-probability, and those beside it."""
    top = [
        show_pair(TokenLogprob(token_id=id, logprob=logprob, tokenizer=entry.tokenizer))
        for id, logprob in entry.top
    ]
    return {**show_pair(entry), "top_logprobs": top}


def show_pair(entry: TokenLogprob) -> Json:
    """A token's text, bytes and log-probability."""
    logprob = max(entry.logprob, IMPOSSIBLE)
    return {"token": entry.text, "bytes": list(entry.token_bytes), "logprob": logprob}


def show_usage(results: Sequence[Result], tokenizer: Tokenizer) -> Json:
    """What the answers to one prompt took, which counts once."""
    first = results[0].usage
    return sum_usage(results, tokenizer, prompt=first.prompt_tokens, cached=first.cached_tokens)


@dataclass(kw_only=True, eq=False)
class ChoiceStream:
    """One answer on its way to a client as chunks. `head` is what every chunk begins with."""

    head: Json
    index: int
    telling: Telling
    drafts: DraftWriter | None = None
    logprobs: bool = False

    def begin(self) -> Json:
        """The first chunk, which says whose words follow."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def take(self, event: object) -> Iterator[Json]:
        """The chunks that an event gives."""
        if isinstance(event, Closed):
            if self.drafts is not None:
                self.drafts.rebase(event.tokens)
        elif isinstance(event, Draft):
            if self.drafts is not None:
                yield {**self.head, "choices": [], "canvas": self.drafts.write(event)}
        elif isinstance(event, Done):
            last = ending(event.result, self.telling, logprobs=self.logprobs)
            yield self._chunk({}, **last)
        else:
            for delta in self.telling.take(event):
                yield self._chunk(delta)

    def _chunk(self, delta: Json, **more: object) -> Json:
        choice = {"index": self.index, "delta": delta, "logprobs": None, "finish_reason": None}
        return {**self.head, "choices": [{**choice, **more}]}
