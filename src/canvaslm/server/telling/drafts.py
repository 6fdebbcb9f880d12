"""Draft events: what a canvas looks like after a pass, whole or as changes to what was shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from canvaslm.engine.events import Draft
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]
Shown = Literal["whole", "changes"]

VISIBLE = 0.05
"""A change of certainty that is told by itself; smaller ones wait for the next whole draft."""


class TokenTexts:
    """What each token looks like by itself; of control tokens nothing is shown."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def of(self, ids: Sequence[int]) -> list[str]:
        return [self._texts.get(id) or self._read(id) for id in ids]

    def _read(self, id: int) -> str:
        return self._texts.setdefault(id, self._tokenizer.decode([id]))


@lru_cache(maxsize=4)
def token_texts(tokenizer: Tokenizer) -> TokenTexts:
    """The same for every request."""
    return TokenTexts(tokenizer)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A draft as a client is to see it: positions before `offset` are settled text."""

    canvas: int
    offset: int
    step: int
    ids: tuple[int, ...]
    certainty: tuple[float, ...]
    accepted: tuple[int, ...]
    noise: tuple[int, ...]


class DraftWriter:
    """Writes the drafts of one answer, as `docs/http.md` says, for one client.

    `base` tokens of the answer stand before its first canvas; each canvas but the last has `length`
    of them. With `shown` "changes" only the first draft of a canvas, and the first after its
    `offset` moved, is whole. Drafts may be left out: changes are to the last one written.
    """

    def __init__(
        self,
        texts: TokenTexts,
        *,
        length: int,
        max_steps: int,
        ends: frozenset[int] = frozenset(),
        shown: Shown = "whole",
        choice: int = 0,
    ) -> None:
        self.base = 0
        self._texts, self._length, self._max_steps = texts, length, max_steps
        self._ends, self._shown, self._choice = ends, shown, choice
        self._first: int | None = None
        self._last: Look | None = None

    @classmethod
    def of(cls, lm: LM, params: Params, *, shown: bool | Shown, choice: int = 0) -> DraftWriter:
        """The writer for an answer of this model; `shown` as a body's `canvas_events`."""
        return cls(
            token_texts(lm.tokenizer),
            length=lm.config.canvas_length,
            max_steps=lm.settings.sampler(params).max_steps,
            ends=lm.settings.eos_ids,
            shown="changes" if shown == "changes" else "whole",
            choice=choice,
        )

    def rebase(self, tokens: int) -> None:
        """The answer goes on after so many tokens, with a new canvas."""
        self.base, self._first = tokens, None

    def write(self, draft: Draft) -> Json:
        """The draft's fields."""
        last, look = self._last, self._look(draft)
        self._last = look
        where = {
            "choice": self._choice,
            "canvas": look.canvas,
            "step": look.step,
            "max_steps": self._max_steps,
            "offset": look.offset,
        }
        follows = last is not None and (last.canvas, last.offset) == (look.canvas, look.offset)
        if self._shown == "whole" or last is None or not follows:
            return {**where, **self._whole(look)}
        seen, changes = self._changes(last, look)
        self._last = seen
        return {**where, "since": last.step, "length": len(look.ids), "changes": changes}

    def _look(self, draft: Draft) -> Look:
        if self._first is None:
            self._first = draft.canvas
        held = min(draft.held, len(draft.token_ids))
        ids = tuple(draft.token_ids[held:])
        end = next((place for place, id in enumerate(ids) if id in self._ends), len(ids))
        kept = slice(held, held + end)
        return Look(
            canvas=draft.canvas,
            offset=self.base + (draft.canvas - self._first) * self._length + held,
            step=draft.step,
            ids=ids[:end],
            certainty=tuple(certainty(entropy) for entropy in draft.entropy[kept]),
            accepted=tuple(map(int, draft.accepted[kept])),
            noise=tuple(draft.noisy_ids[kept]),
        )

    def _whole(self, look: Look) -> Json:
        return {
            "tokens": self._texts.of(look.ids),
            "certainty": list(look.certainty),
            "accepted": list(look.accepted),
            "noise": self._texts.of(look.noise),
        }

    def _changes(self, last: Look, look: Look) -> tuple[Look, list[list[object]]]:
        """What the client knows after them, and the changes."""
        known = list(look.certainty)
        changes: list[list[object]] = []
        texts = self._texts.of(look.ids)
        for place, id in enumerate(look.ids):
            new = (id, look.accepted[place])
            if place < len(last.ids) and new == (last.ids[place], last.accepted[place]):
                before = last.certainty[place]
                if abs(before - known[place]) < VISIBLE:
                    known[place] = before
                    continue
            changes.append([place, texts[place], look.certainty[place], look.accepted[place]])
        seen = Look(**{**look.__dict__, "certainty": tuple(known)})
        return seen, changes


def certainty(entropy: float) -> float:
    """From 0 to 1, of doubt in nats."""
    return round(math.exp(-max(entropy, 0.0)), 3)
