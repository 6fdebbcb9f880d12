"""What a stream of one answer is made of: drafts of a canvas, pieces of it, the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from canvaslm.engine.result import Result, need_text
from canvaslm.text.spans import Broken, Thought, ToolCall


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A canvas after one denoising pass. Sequences have one entry for each position, or up to the
    token in which a stop string begins.

    canvas     number of the canvas, from 0
    step       passes this canvas has had, from 1
    token_ids  the likeliest token everywhere: what would be committed now
    entropy    doubt about each position in nats; 0 is certain
    accepted   positions that go into the next pass as they were drawn; the others as fresh noise
    noisy_ids  the canvas that goes into the next pass
    held       so many positions at the start have left as text before this draft, and stay: the
               text so far ends with theirs
    own        so many positions at the start are written, and what stands behind them is shown
               only, as the text after a gap; None: all are written
    """

    canvas: int
    step: int
    token_ids: Sequence[int]
    entropy: Sequence[float]
    accepted: Sequence[bool]
    noisy_ids: Sequence[int]
    held: int = 0
    own: int | None = None
    decode: Callable[[Sequence[int]], str] | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """`token_ids` as text. Raises MissingTokenizerError without a tokenizer."""
        return need_text(None if self.decode is None else self.decode(self.token_ids))


@dataclass(frozen=True, kw_only=True)
class Text:
    """The next piece of the answer, final; all of them joined are the result's `text`.

    Thoughts and tool calls come as `Thought`, `ToolCall` and `Broken`.
    """

    delta: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The end, with the whole answer."""

    result: Result


Event = Draft | Text | Thought | ToolCall | Broken | Done
