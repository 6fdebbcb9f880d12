"""Engine events as the typed events of `/v1/responses`, and the response that they add up to."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal

from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.engine.requests import as_event
from canvaslm.engine.result import Result
from canvaslm.server.asking.thinking import Closed
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.responses import ReasoningOptions, ResponsesBody, TextOptions
from canvaslm.server.telling.chat import show_token, without_controls
from canvaslm.server.telling.drafts import DraftWriter
from canvaslm.server.telling.items import Call, Item, Message, Reasoning
from canvaslm.server.telling.tokens import owners, sum_usage
from canvaslm.text.spans import Broken, SpanReader, Thought, ToolCall
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]
Status = Literal["completed", "incomplete"]

NOTHING_YET: Json = {
    "object": "response",
    "completed_at": None,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "usage": None,
    "previous_response_id": None,
    "service_tier": "default",
    "store": False,
    "background": False,
    "truncation": "disabled",
}
SHOWN_OF_TOOL = {"type", "name", "description", "parameters", "strict"}
ECHOED = (
    "instructions",
    "max_output_tokens",
    "temperature",
    "top_p",
    "user",
    "safety_identifier",
    "prompt_cache_key",
)


def new_id(kind: str) -> str:
    """A name that no other response or item has."""
    return f"{kind}_{secrets.token_hex(16)}"


def opening(asked: ResponsesBody, *, id: str, model: str, created: float, seed: int) -> Json:
    """A response of which nothing is there yet, with what was asked for."""
    text = asked.text or TextOptions()
    shape = text.format.model_dump(by_alias=True) if text.format else {"type": "text"}
    choice = asked.tool_choice or "auto"
    thought = asked.reasoning or ReasoningOptions()
    return {
        **NOTHING_YET,
        "output": [],
        "notes": [],
        "id": id,
        "created_at": created,
        "model": model,
        "seed": seed,
        "metadata": asked.metadata or {},
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "reasoning": {"effort": thought.effort, "summary": thought.summary},
        "text": {"format": shape, "verbosity": text.verbosity},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump(include=SHOWN_OF_TOOL) for tool in asked.tools or ()],
        "top_logprobs": asked.top_logprobs or 0,
        **{name: getattr(asked, name) for name in ECHOED},
    }


def show_usage(result: Result, tokenizer: Tokenizer) -> Json:
    """What an answer took, under the names that responses have for it."""
    own = result.usage
    usage = sum_usage([result], tokenizer, prompt=own.prompt_tokens, cached=own.cached_tokens)
    cached = usage.pop("prompt_tokens_details")
    return {
        "input_tokens": usage.pop("prompt_tokens"),
        "input_tokens_details": {**cached, "cache_write_tokens": 0},
        "output_tokens": usage.pop("completion_tokens"),
        "output_tokens_details": usage.pop("completion_tokens_details"),
        **usage,
    }


class Writer:
    """Writes one response down as it comes. `response` is what stands so far.

    Each method returns the events that it gives rise to. Without `drafts` there are none of those,
    without `parallel` calls after the first become notes. A call that cannot be read becomes text,
    without its control tokens, and a note. The log-probabilities of a text are known at the end
    only, so `logprobs` keeps messages open until then.
    """

    def __init__(
        self,
        response: Json,
        *,
        tokenizer: Tokenizer,
        drafts: DraftWriter | None = None,
        logprobs: bool = False,
        parallel: bool = True,
        name: Callable[[str], str] = new_id,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.response = response
        self._tokenizer, self._drafts = tokenizer, drafts
        self._logprobs, self._parallel = logprobs, parallel
        self._name, self._now = name, now
        self._items: list[Item] = []
        self._open: Item | None = None
        self._notes: list[str] = []
        self._told: list[Json] = []
        self._count = 0

    def begin(self) -> list[Json]:
        """The request is accepted, and at work."""
        self._tell("response.created", response=self._snapshot())
        self._tell("response.in_progress", response=self._snapshot())
        return self._drain()

    def take(self, event: Event | Closed) -> list[Json]:
        """What the engine says next."""
        match event:
            case Draft() if self._drafts is not None:
                self._draft(event, self._drafts)
            case Closed(tokens=tokens) if self._drafts is not None:
                self._drafts.rebase(tokens)
            case Text(delta=delta) if delta:
                self._turn_to(Message).add(delta)
            case Thought(text=text) if text:
                self._turn_to(Reasoning).add(text)
            case ToolCall():
                self._call(event)
            case Broken():
                self._broken(event)
            case Done(result=result):
                self._end(result)
        return self._drain()

    def replay(self, result: Result) -> Json:
        """The response to a request whose answer came at once."""
        for span in result.spans or ():
            self.take(as_event(span))
        self.take(Done(result=result))
        return self.response

    def fail(self, error: ApiError) -> Json:
        """The last event of a request that did not come to its end."""
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        self.response |= {
            "status": "failed",
            "error": {"code": code, "message": error.message},
            "output": [item.show("incomplete") for item in self._items],
        }
        self._tell("response.failed", response=self._snapshot())
        return self._drain()[-1]

    def _turn_to(self, kind: type[Message] | type[Reasoning]) -> Message | Reasoning:
        """The open item if it is of this kind, else a new one."""
        if isinstance(self._open, kind):
            return self._open
        self._leave()
        item = kind(index=len(self._items), id=self._name(kind.prefix), tell=self._tell)
        self._begin(item)
        return item

    def _call(self, call: ToolCall) -> None:
        if not self._parallel and any(isinstance(item, Call) for item in self._items):
            self._notes.append(
                f"a further call, of {call.name}, was left out: parallel_tool_calls is false"
            )
            return
        self._leave()
        item = Call(
            index=len(self._items),
            id=self._name(Call.prefix),
            tell=self._tell,
            call_id=self._name("call"),
            call=call,
        )
        self._begin(item)
        item.add_arguments()
        self._leave()

    def _begin(self, item: Item) -> None:
        self._items.append(item)
        self._open = item
        item.begin()

    def _leave(self) -> None:
        """Another item comes: the open one is complete."""
        if self._open is not None and not (self._logprobs and isinstance(self._open, Message)):
            self._open.end("completed")
        self._open = None

    def _broken(self, broken: Broken) -> None:
        if broken.kind == "thought":
            self._notes.append(f"a thought did not end: {broken.reason}")
            if broken.text:
                self._turn_to(Reasoning).add(broken.text)
            return
        self._notes.append(f"a tool call could not be read and is in the text: {broken.reason}")
        if text := without_controls(broken.text, self._tokenizer):
            self._turn_to(Message).add(text)

    def _draft(self, draft: Draft, drafts: DraftWriter) -> None:
        here, index = self._open, len(self._items)
        self._tell(
            "response.canvas.draft",
            item_id=None if here is None else here.id,
            output_index=index if here is None else here.index,
            **drafts.write(draft),
        )

    def _end(self, result: Result) -> None:
        status: Status = "completed" if result.finish_reason == "stop" else "incomplete"
        if status == "completed" and not any(isinstance(i, Message | Call) for i in self._items):
            self._turn_to(Message)
        self._give_logprobs(result)
        for item in self._items:
            if item.status is None:
                item.end(status if item is self._open else "completed")
        self._open = None
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        self.response |= {
            "status": status,
            "incomplete_details": cut,
            "completed_at": self._now() if status == "completed" else None,
            "output": [item.show() for item in self._items],
            "usage": show_usage(result, self._tokenizer),
            "seed": result.seed,
            "notes": [*self._notes, *result.notes],
        }
        self._tell(f"response.{status}", response=self._snapshot())

    def _give_logprobs(self, result: Result) -> None:
        """Each token's to the message that it would have gone to, had the tokens come one by one.

        Of a thought that was closed, and what stands before it, there are none.
        """
        if not self._logprobs:
            return
        entries = result.logprobs or ()
        skipped = len(result.token_ids) - len(entries)
        whose = list(owners(result.token_ids, self._tokenizer))[skipped:]
        other = Writer({}, tokenizer=self._tokenizer, parallel=self._parallel)
        reader = SpanReader(self._tokenizer)
        waiting: list[Json] = []
        for entry, owner in zip(entries, whose, strict=True):
            for span in reader.push([entry.token_id]):
                other.take(as_event(span))
            if owner == "answer":
                waiting.append(show_token(entry))
            if isinstance(other._open, Message):
                other._open.logprobs += waiting
                waiting.clear()
        for message, theirs in zip(self._messages[::-1], other._messages[::-1], strict=False):
            message.logprobs = theirs.logprobs

    @property
    def _messages(self) -> list[Message]:
        return [item for item in self._items if isinstance(item, Message)]

    def _tell(self, kind: str, /, **fields: object) -> None:
        self._told.append({"type": kind, "sequence_number": self._count, **fields})
        self._count += 1

    def _drain(self) -> list[Json]:
        told, self._told = self._told, []
        return told

    def _snapshot(self) -> Json:
        return copy.deepcopy(self.response)
