"""A thought that is closed when its budget is spent, and the answer that follows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result, Usage
from canvaslm.errors import ParameterError
from canvaslm.text.controls import CHANNEL, CHANNEL_END
from canvaslm.text.spans import Answer, Span, Thought
from canvaslm.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The thought was closed; so many tokens of the answer are settled."""

    tokens: int


def think_within(
    lm: LM, prompt: tuple[int, ...], *, params: Params, mode: Mode, budget: int
) -> Iterator[Event | Closed]:
    """`LM.stream`, with at most `budget` tokens of thought.

    A thought that ends in time changes nothing. A longer one is cut there and closed, and the
    answer is drawn after it with the same seed. Raises ParameterError for a model that has no
    tokens for thoughts.
    """
    opening, closer = lm.tokenizer.token_id(CHANNEL), lm.tokenizer.token_id(CHANNEL_END)
    if opening is None or closer is None:
        raise ParameterError(
            "thinking_budget cannot be kept: the model has no tokens that open and close thoughts"
        )
    first = lm.stream(prompt, params=params, mode=mode)
    if budget >= params.max_tokens:
        return first
    return follow(lm, first, prompt, Spending(lm.tokenizer, budget), params=params, mode=mode)


class Spending:
    """Counts what is thought, and what it took."""

    def __init__(self, tokenizer: Tokenizer, budget: int) -> None:
        self.spans: list[Span] = []
        self.steps = self.canvases = 0
        self.spent = False
        self._tokenizer, self._budget = tokenizer, budget
        self._thought = ""
        self._channel = "thought"
        self._answered = False

    def see(self, event: Event) -> Event | None:
        """What of an event is passed on."""
        match event:
            case Draft(canvas=canvas):
                self.steps, self.canvases = self.steps + 1, canvas + 1
            case Text(delta=delta):
                self.spans.append(Answer(delta))
                self._answered = self._answered or bool(delta.strip())
            case Thought() if not self._answered:
                return self._think(event)
        return event

    def _think(self, event: Thought) -> Thought | None:
        said, whole = self._thought, self._thought + event.text
        ids = self._tokenizer.encode(whole, special=False)
        text = event.text
        if len(ids) > self._budget:
            self.spent = True
            kept = self._tokenizer.decode(ids[: self._budget]).rstrip("\ufffd")
            text = kept[len(said) :] if kept.startswith(said) else ""
        self._thought, self._channel = said + text, event.channel
        if not text:
            return None
        self.spans.append(Thought(text, event.channel))
        return Thought(text, event.channel)

    def ids(self) -> list[int]:
        """The closed thought, as the model would have written it."""
        tokenizer = self._tokenizer
        head = f"{self._channel}\n" if self._channel else ""
        ids = [tokenizer.token_id(CHANNEL), *tokenizer.encode(head + self._thought, special=False)]
        return [id for id in (*ids, tokenizer.token_id(CHANNEL_END)) if id is not None]


def follow(
    lm: LM,
    first: Iterator[Event],
    prompt: tuple[int, ...],
    watch: Spending,
    *,
    params: Params,
    mode: Mode,
) -> Iterator[Event | Closed]:
    with closing(first) as events:  # type: ignore[type-var]  # a generator
        for event in events:
            seen = watch.see(event)
            if seen is not None:
                yield seen
            if watch.spent:
                break
        else:
            return
    thought = watch.ids()
    yield Closed(tokens=len(thought))
    room = params.max_tokens - len(thought)
    if room < 1:
        yield Done(result=_cut(watch, prompt, thought, params))
        return
    rest = replace(params, max_tokens=room)
    for event in lm.stream((*prompt, *thought), params=rest, mode=mode):
        match event:
            case Draft():
                yield replace(event, canvas=event.canvas + watch.canvases)
            case Done(result=result):
                yield Done(result=_joined(watch, prompt, thought, result))
            case _:
                yield event


def _cut(watch: Spending, prompt: tuple[int, ...], thought: list[int], params: Params) -> Result:
    """The whole of an answer that has no room behind its thought."""
    ids = thought[: params.max_tokens]
    return Result(
        token_ids=tuple(ids),
        finish_reason="length",
        usage=Usage(
            prompt_tokens=len(prompt),
            completion_tokens=len(ids),
            canvases=watch.canvases,
            steps=watch.steps or len(ids),
            seconds=0.0,
        ),
        seed=params.seed or 0,
        spans=tuple(watch.spans),
        logprobs=() if params.logprobs else None,
        notes=(_note(thought),),
    )


def _joined(watch: Spending, prompt: tuple[int, ...], thought: list[int], result: Result) -> Result:
    """Thought and answer as one; log-probabilities are those of the answer."""
    usage = result.usage
    counts: dict[str, Any] = {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(thought) + usage.completion_tokens,
        "canvases": usage.canvases + watch.canvases,
        "steps": usage.steps + (watch.steps or len(thought)),
        "cached_tokens": min(usage.cached_tokens, len(prompt)),
    }
    return replace(
        result,
        token_ids=(*thought, *result.token_ids),
        usage=replace(usage, **counts),
        spans=(*watch.spans, *(result.spans or ())),
        notes=(_note(thought), *result.notes),
    )


def _note(thought: list[int]) -> str:
    return f"the thought was closed after {len(thought)} tokens, as thinking_budget says"
