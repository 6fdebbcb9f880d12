"""An answer's text as its tokens come: told from thoughts and tool calls, cut at stop strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import NamedTuple

from canvaslm.control.stops import StopSearch
from canvaslm.text.spans import Answer, Span, SpanReader, Thought
from canvaslm.text.tokenizer import Tokenizer


class Cut(NamedTuple):
    """Where a stop string stands, in tokens: those `before` it may be shown, and after `through`
    tokens it is complete."""

    before: int
    through: int


class Reading:
    """Reads token ids into `spans`, which only grow; nothing of a stop string is ever in them.

    Texts may wait there until it is known that they begin no stop string; a thought or tool call
    does not wait for them. `stop` is the string that was found, None so far. Tokens may be read
    `ahead` of a push that begins with them; the text of the first `left` of these is in `spans`.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self.spans: list[Span] = []
        self._tokenizer, self._reader = tokenizer, SpanReader(tokenizer)
        self._search = StopSearch(stops) if stops else None
        self.ahead = self.left = 0
        self._count = self._start = 0  # tokens, and of them before what was read ahead
        self._waiting = 0  # letters that may begin a stop string
        self._silent = 0  # tokens right before the next one that only began a character

    @property
    def stop(self) -> str | None:
        """The stop string that was found; None so far."""
        return None if self._search is None else self._search.found

    @property
    def cut(self) -> Cut | None:
        """Where it stands in all that was pushed."""
        if self._search is None or self._search.origin is None:
            return None
        return Cut(before=self._search.origin, through=self._count)

    def push(self, ids: Sequence[int]) -> None:
        """The answer goes on. After a stop string nothing is read any more."""
        new = ids[self.ahead :]
        self.ahead = self.left = 0
        self.spans += self._read(new)
        self._start = self._count

    def read_ahead(self, ids: Sequence[int]) -> None:
        """The answer will go on with what was read ahead so far, and then with these."""
        new: list[Span] = []
        for id in ids:
            spans = self._read([id])
            new += spans
            self.ahead += 1
            if not self._waiting and (spans or id in self._tokenizer.special_ids):
                self.left = self.ahead
        self.spans += joined(new)

    def _read(self, ids: Sequence[int]) -> list[Span]:
        if self._search is None:
            return self._reader.push(ids)
        new: list[Span] = []
        for id in ids:
            if self._search.found is not None:
                break
            spans = self._reader.push([id])
            new += self._search_in(spans, self._search, origin=self._count - self._silent)
            begins = not spans and id not in self._tokenizer.special_ids
            self._silent = self._silent + 1 if begins else 0
            self._count += 1
        return joined(new)

    def finish(self) -> None:
        """The answer ends: what was held back comes."""
        if self._search is None:
            self.spans += self._reader.finish()
        elif self._search.found is None:
            last = self._search_in(self._reader.finish(), self._search, origin=self._count)
            held = self._search.flush()
            self.spans += joined([*last, *([Answer(held)] if held else [])])

    def preview(self, ids: Iterable[int]) -> Cut | None:
        """Where a stop string would stand in `ids`, should the answer go on with them; a match that
        begins earlier has 0 tokens before it. They begin with what was read ahead."""
        other = copy(self)
        other.spans, other._reader = [], self._reader.fork()
        other._search = None if self._search is None else self._search.fork()
        other.push(list(ids))
        cut = other.cut
        if cut is None:
            return None
        return Cut(max(cut.before - self._start, 0), cut.through - self._start)

    def through(self, ids: Iterable[int]) -> int | None:
        """How many of `ids` it would take to complete a stop string; None: there is none."""
        cut = self.preview(ids)
        return None if cut is None else cut.through

    def _search_in(
        self, spans: Sequence[Span], search: StopSearch, *, origin: int
    ) -> Iterator[Span]:
        """What of the spans may leave."""
        for span in spans:
            if not isinstance(span, Answer):
                if search.found is None:
                    yield span
            else:
                text = search.push(span.text, origin=origin)
                self._waiting += len(span.text) - len(text)
                if text:
                    yield Answer(text)


def joined(spans: Sequence[Span]) -> list[Span]:
    """The spans, with neighbouring texts of one kind made one."""
    made: list[Span] = []
    for span in spans:
        last = made[-1] if made else None
        match last, span:
            case Answer(before), Answer(text):
                made[-1] = Answer(before + text)
            case Thought(before, channel), Thought(text, other) if channel == other:
                made[-1] = Thought(before + text, channel)
            case _:
                made.append(span)
    return made
