"""The loop of a canvas: from noise, step by step, until it has settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.step import Outcome, Sampler, take_step

# B rows still at work, L canvas, D hidden, V vocabulary


class Denoiser(Protocol):
    """The model as the loop sees it; `rows` says which sequences of a batch the tensors hold."""

    def logits(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        """float32 [B, L, V], soft-capped, before temperature; a tensor the loop may overwrite."""
        ...

    def soften(self, p_BLV: Tensor) -> Tensor:
        """The soft embedding of probabilities: [B, L, D]."""
        ...


@dataclass(frozen=True, kw_only=True)
class State:
    """A canvas after `step` passes, for the `rows` that took part; tensors are [B, L].

    `canvas` holds accepted candidates among fresh noise, `best` the likeliest token everywhere,
    which is what is committed once a row is `finished`.
    """

    rows: tuple[int, ...]
    step: int
    canvas: Tensor
    best: Tensor
    entropy: Tensor
    accepted: Tensor
    finished: tuple[bool, ...]


def settle(
    model: Denoiser, sampler: Sampler, draws: Draws, *, rows: Sequence[int], canvas: int
) -> Iterator[State]:
    """Denoise canvas number `canvas` of every row, yielding each step; a row that has settled takes
    no further part. After `max_steps` all are finished."""
    rows = tuple(rows)
    ids_BL, soft_BLD = draws.noise(rows, canvas=canvas, step=0), None
    earlier: deque[Tensor] = deque(maxlen=sampler.stop.stability)
    for step in range(1, sampler.max_steps + 1):
        outcome = take_step(
            model.logits(rows, ids_BL, soft_BLD),
            sampler=sampler,
            draws=draws,
            rows=rows,
            canvas=canvas,
            step=step,
            earlier=tuple(earlier),
        )
        state = describe(rows, step, outcome, last=step == sampler.max_steps)
        yield state
        if all(state.finished):
            return
        earlier.append(outcome.best)
        ids_BL, p_BLV = outcome.canvas, outcome.p
        if any(state.finished):
            open_rows = [place for place, done in enumerate(state.finished) if not done]
            rows = tuple(rows[place] for place in open_rows)
            kept = torch.tensor(open_rows, device=ids_BL.device)
            ids_BL, p_BLV = ids_BL[kept], p_BLV[kept]
            earlier = deque((best_BL[kept] for best_BL in earlier), maxlen=earlier.maxlen)
        soft_BLD = model.soften(p_BLV)


def describe(rows: tuple[int, ...], step: int, outcome: Outcome, *, last: bool) -> State:
    """The state to show. Reading which rows have settled is the one wait for the device."""
    finished = [True] * len(rows) if last else outcome.settled.tolist()
    return State(
        rows=rows,
        step=step,
        canvas=outcome.canvas,
        best=outcome.best,
        entropy=outcome.entropy,
        accepted=outcome.accepted,
        finished=tuple(finished),
    )
