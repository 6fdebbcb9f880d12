"""Answers of `/v1/completions` as its choices and chunks."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from canvaslm.engine.events import Done, Draft, Text
from canvaslm.engine.requests import as_event
from canvaslm.engine.result import Result
from canvaslm.engine.scoring.score import Scores
from canvaslm.engine.scoring.token import TokenLogprob
from canvaslm.server.asking.completions import Given
from canvaslm.server.telling.chat import arguments_text, without_controls
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.tokens import IMPOSSIBLE, sum_usage
from canvaslm.text.spans import Broken, Thought, ToolCall
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]
Entry = TokenLogprob | None


@dataclass(kw_only=True, eq=False)
class Choice:
    """One answer on its way to a client. `top` is the body's `logprobs`; what is `bound` by a
    constraint is complete however long it is."""

    index: int
    given: Given
    tokenizer: Tokenizer
    echo: bool = False
    bound: bool = False
    top: int | None = None
    drafts: DraftWriter | None = None
    head: Json = field(default_factory=dict)
    result: Result | None = None

    def whole(self, value: object) -> Json:
        """The choice of a response that comes at once."""
        spans = value.spans or () if isinstance(value, Result) else ()
        text = self.start() + "".join(self.read(as_event(span)) for span in spans)
        return {"index": self.index, "text": text, **self.ending(value)}

    def start(self) -> str:
        """What stands before the answer."""
        return self.given.text if self.echo else ""

    def take(self, event: object) -> Iterator[Json]:
        """The chunks that an event gives."""
        if isinstance(event, Draft):
            if self.drafts is not None:
                yield {**self.head, "choices": [], "canvas": self.drafts.write(event)}
        elif isinstance(event, Done | Scores | None):
            value = event.result if isinstance(event, Done) else event
            yield self.chunk("", **self.ending(value))
        elif text := self.read(event):
            yield self.chunk(text)

    def read(self, event: object) -> str:
        """The text of an event: all of them, as a raw text has no other place for it."""
        match event:
            case Text(delta=text) | Thought(text=text):
                return text
            case ToolCall():
                return f"call:{event.name}{arguments_text(event)}"
            case Broken():
                return without_controls(event.text, self.tokenizer)
        return ""

    def ending(self, value: object) -> Json:
        """What is known of the answer at its end."""
        made: Json = {"logprobs": self.logprobs(value), "finish_reason": "length"}
        if not isinstance(value, Result):
            return made
        self.result = value
        made["finish_reason"] = "stop" if self.bound else value.finish_reason
        return {**made, "notes": list(value.notes)} if value.notes else made

    def logprobs(self, value: object) -> Json | None:
        """Those of the prompt, where it is echoed, and of the answer."""
        if self.top is None:
            return None
        entries: list[tuple[int, Entry]] = []
        if self.echo:
            entries = list(zip(self.given.ids, self._scored(value), strict=True))
            entries = entries[self.given.added :]
        if isinstance(value, Result):
            entries += [(one.token_id, one) for one in value.logprobs or ()]
        return show_entries(entries, self.tokenizer, top=self.top)

    def _scored(self, value: object) -> Sequence[Entry]:
        """The log-probabilities of the prompt's tokens."""
        if isinstance(value, Scores):
            return (None, *value.tokens)
        if isinstance(value, Result) and value.prompt_logprobs is not None:
            return value.prompt_logprobs
        return (None,) * len(self.given.ids)

    def chunk(self, text: str, **more: object) -> Json:
        """A piece of the answer."""
        choice = {"index": self.index, "text": text, "logprobs": None, "finish_reason": None}
        return {**self.head, "choices": [{**choice, **more}]}


def show_entries(entries: Iterable[tuple[int, Entry]], tokenizer: Tokenizer, *, top: int) -> Json:
    """Log-probabilities as lists, one entry for each token."""
    listed = list(entries)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    offsets, place = [], 0
    for id, _ in listed:
        offsets.append(place)
        place += len(decoder.decode(tokenizer.token_bytes(id)))
    return {
        "tokens": [old_text(tokenizer.token_bytes(id)) for id, _ in listed],
        "token_logprobs": [None if e is None else max(e.logprob, IMPOSSIBLE) for _, e in listed],
        "top_logprobs": [show_top(entry, tokenizer) for _, entry in listed] if top else None,
        "text_offset": offsets,
    }


def show_top(entry: Entry, tokenizer: Tokenizer) -> Json | None:
    """The token that stands in a place, and the likeliest ones of it."""
    if entry is None:
        return None
    pairs = [(entry.token_id, entry.logprob), *entry.top]
    shown: Json = {}
    for id, logprob in pairs:
        shown.setdefault(old_text(tokenizer.token_bytes(id)), max(logprob, IMPOSSIBLE))
    return shown


def old_text(read: bytes) -> str:
    """A token as OpenAI writes it here: bytes that are no text by their numbers."""
    try:
        return read.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in read)


def show_usage(choices: Sequence[Choice], prompts: Sequence[Given], tokenizer: Tokenizer) -> Json:
    """What all answers took; a prompt counts once, however many answers it has."""
    results = [choice.result for choice in choices if choice.result is not None]
    each = len(choices) // len(prompts)
    firsts = [choice.result for choice in choices[::each] if choice.result is not None]
    return sum_usage(
        results,
        tokenizer,
        prompt=sum(len(given.ids) for given in prompts),
        cached=sum(result.usage.cached_tokens for result in firsts),
    )
