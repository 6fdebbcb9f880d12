"""One request on its way: its prompt, what it has said so far, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from canvaslm.control.steering import Steering
from canvaslm.diffusion.step import Sampler
from canvaslm.engine.params import Params
from canvaslm.engine.result import FinishReason, Result, Usage
from canvaslm.text.spans import Span


@dataclass(eq=False, kw_only=True)
class Job:
    """Mutable on purpose: the one place where an answer grows."""

    prompt: tuple[int, ...]
    params: Params
    seed: int
    eos_ids: frozenset[int]
    sampler: Sampler = field(default_factory=Sampler)
    steering: Steering | None = None
    ids: list[int] = field(default_factory=list)
    canvases: int = 0
    steps: int = 0
    finish_reason: FinishReason | None = None

    def take(self, ids: Sequence[int]) -> list[int]:
        """Append committed tokens, cut after the first closing one and at max_tokens.

        Returns what was appended.
        """
        room = self.params.max_tokens - len(self.ids)
        end = next((n + 1 for n, id in enumerate(ids[:room]) if id in self.eos_ids), None)
        new = list(ids[: room if end is None else end])
        self.ids += new
        if self.steering is not None:
            self.steering.commit(new)
        if end is not None:
            self.finish_reason = "stop"
        elif len(self.ids) == self.params.max_tokens:
            self.finish_reason = "length"
        return new

    def result(self, *, spans: Sequence[Span] | None, seconds: float) -> Result:
        """What the caller gets. The job must be finished."""
        assert self.finish_reason is not None
        return Result(
            token_ids=tuple(self.ids),
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=len(self.prompt),
                completion_tokens=len(self.ids),
                canvases=self.canvases,
                steps=self.steps,
                seconds=seconds,
            ),
            seed=self.seed,
            spans=spans,
        )
