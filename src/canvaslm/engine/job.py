"""One request on its way: its prompt, what it has said so far, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from canvaslm.cache.pages import Pool
from canvaslm.control.loop_guard import GUARD
from canvaslm.control.steering import Steering
from canvaslm.diffusion.step import Sampler
from canvaslm.engine.efforts import PLAIN, Plan
from canvaslm.engine.ledger import Ledger
from canvaslm.engine.opening import Opening, SharedPrompt, encode_prompt
from canvaslm.engine.params import Params
from canvaslm.engine.reading import Reading
from canvaslm.engine.result import FinishReason, Result, Usage
from canvaslm.engine.scoring.token import Picked, TokenLogprob
from canvaslm.model.network import Network
from canvaslm.text.tokenizer import Tokenizer


@dataclass(eq=False, kw_only=True)
class Job:
    """Mutable on purpose: the one place where an answer grows.

    `reading` tells its text and finds stop strings, None without a tokenizer; `ledger` has its
    log-probabilities, None where nobody asked, and `scored` those of the prompt; `shared` is a
    prompt that other requests have, too; `last` is the hidden state [D] of the last token encoded;
    `cached` counts the prompt's tokens that were known before.
    `held` are the tokens that the next canvas will begin with, whatever becomes of the rest.
    """

    prompt: tuple[int, ...]
    params: Params
    seed: int
    eos_ids: frozenset[int]
    sampler: Sampler = field(default_factory=Sampler)
    plan: Plan = PLAIN
    steering: Steering | None = None
    tokenizer: Tokenizer | None = None
    reading: Reading | None = None
    ledger: Ledger | None = None
    shared: SharedPrompt | None = None
    ids: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    canvases: int = 0
    steps: int = 0
    redrafts: int = 0
    finish_reason: FinishReason | None = None
    scored: Picked | None = None
    last: Tensor | None = None
    cached: int = 0

    def open(self, model: Network, pool: Pool) -> Opening:
        """The encoded prompt; its prefix is the caller's to free."""
        top = (self.params.top_logprobs or 0) if self.params.prompt_logprobs else None
        if self.shared is None:
            opening = encode_prompt(model, pool, self.prompt, top=top)
        else:
            opening = self.shared.open(model, pool, self.prompt, top=top)
        if self.ledger is not None:
            self.ledger.begin(opening.last)
        self.scored, self.last, self.cached = opening.scored, opening.last, opening.cached
        return opening

    def hold(self, ids: Sequence[int]) -> bool:
        """The next canvas goes on with these tokens, which are read at once; whether the answer
        ends in them."""
        start = len(self.held)
        self.held += ids
        if self.reading is not None:
            self.reading.read_ahead(self.cut(self.held)[start:])
        return self.ends_ahead

    @property
    def ends_ahead(self) -> bool:
        """Whether the answer ends in what is held."""
        if self.reading is not None and self.reading.stop is not None:
            return True
        full = len(self.ids) + len(self.held) >= self.params.max_tokens
        return full or not self.eos_ids.isdisjoint(self.held)

    def take(self, ids: Sequence[int]) -> list[int]:
        """Append committed tokens, cut after the first closing one, at max_tokens and before a stop
        string.

        Returns what was appended. A stop string that began in an earlier canvas takes tokens back.
        """
        start, new = len(self.ids), self.cut(ids)
        assert list(ids[: len(self.held)]) == self.held, "what is held does not change"
        self.held.clear()
        self.ids += new
        if self.steering is not None:
            self.steering.commit(new)
        if new and new[-1] in self.eos_ids:
            self.finish_reason = "stop"
        elif len(self.ids) == self.params.max_tokens:
            self.finish_reason = "length"
        if self.reading is not None:
            self._read(self.reading, new)
        return self.ids[start:]

    def cut(self, ids: Sequence[int]) -> list[int]:
        """Those of `ids` that the answer has room for, up to the first closing one."""
        room = self.params.max_tokens - len(self.ids)
        end = next((n + 1 for n, id in enumerate(ids[:room]) if id in self.eos_ids), None)
        return list(ids[: room if end is None else end])

    def _read(self, reading: Reading, new: Sequence[int]) -> None:
        reading.push(new)
        if self.finish_reason is not None:
            reading.finish()
        if reading.cut is not None:
            del self.ids[reading.cut.before :]
            self.finish_reason = "stop"

    def result(self, *, seconds: float) -> Result:
        """What the caller gets. The job must be finished."""
        assert self.finish_reason is not None
        ledger = self.ledger
        return Result(
            token_ids=tuple(self.ids),
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=len(self.prompt),
                completion_tokens=len(self.ids),
                canvases=self.canvases,
                steps=self.steps,
                redrafts=self.redrafts,
                cached_tokens=self.cached,
                seconds=seconds,
            ),
            notes=self._notes(),
            seed=self.seed,
            spans=None if self.reading is None else tuple(self.reading.spans),
            stop=None if self.reading is None else self.reading.stop,
            logprobs=None if ledger is None else tuple(ledger.entries[: len(self.ids)]),
            logprobs_kind=None if ledger is None else self.params.logprobs_kind or "causal",
            prompt_logprobs=self._prompt_logprobs(),
        )

    def _notes(self) -> tuple[str, ...]:
        loop = GUARD.find(self.ids)
        if loop is None:
            return ()
        return (
            f"the answer repeats itself: {loop.period} tokens from token {loop.start} on stand "
            f"{loop.repeats:.0f} times in a row",
        )

    def _prompt_logprobs(self) -> tuple[TokenLogprob | None, ...] | None:
        if not self.params.prompt_logprobs:
            return None
        if self.scored is None:  # at most one token, which nothing predicts
            return (None,) * len(self.prompt)
        return (None, *self.scored.tokens(self.prompt[1:], self.tokenizer))
