"""The loop of a canvas: from noise, step by step, until it has settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.guide import Guide
from canvaslm.diffusion.step import Outcome, Sampler, take_step
from canvaslm.diffusion.view import Past

# B rows still at work, L canvas, D hidden, V vocabulary


class Denoiser(Protocol):
    """The model as the loop sees it; `rows` says which sequences of a batch the tensors hold."""

    def logits(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        """float32 [B, L, V], soft-capped, before temperature; a tensor the loop may overwrite."""
        ...

    def soften(self, p_BLV: Tensor) -> Tensor:
        """The soft embedding of probabilities: [B, L, D]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Seat:
    """How one row of a batch is denoised: by which rules, and what bends and watches them."""

    row: int
    sampler: Sampler
    guide: Guide | None = None
    watch: Callable[[Outcome], None] | None = None

    @property
    def alone(self) -> bool:
        """Whether its steps are taken by themselves; others with equal rules share theirs."""
        return self.guide is not None or self.watch is not None


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


class Lane:
    """Rows that share their rules, on their way through one canvas."""

    def __init__(self, seats: Sequence[Seat], draws: Draws, canvas: int) -> None:
        self.rows = tuple(seat.row for seat in seats)
        self.sampler, self.guide, self.watch = seats[0].sampler, seats[0].guide, seats[0].watch
        self.draws, self.canvas = draws, canvas
        self.past = Past()
        self.soft_BLD: Tensor | None = None
        self.ids_BL = draws.noise(self.rows, canvas=canvas, step=0)
        if self.guide is not None:
            self.ids_BL = self.guide.start(self.ids_BL[0])[None]

    def advance(self, logits_BLV: Tensor, step: int) -> State:
        """Take one step."""
        outcome = take_step(
            logits_BLV,
            sampler=self.sampler,
            draws=self.draws,
            rows=self.rows,
            canvas=self.canvas,
            step=step,
            past=self.past,
            guide=self.guide,
        )
        if self.watch is not None:
            self.watch(outcome)
        self.outcome = outcome
        return describe(self.rows, step, outcome, last=step == self.sampler.max_steps)

    def prepare(self, finished: Sequence[bool], soften: Callable[[Tensor], Tensor]) -> bool:
        """Get ready for the next step, without the finished rows. False: none is left."""
        if all(finished):
            return False
        made, sampler = self.outcome, self.sampler
        past = Past(
            best=(*self.past.best, made.best)[-sampler.looks_back :] if sampler.looks_back else (),
            accepted=made.accepted,
            entropy=made.entropy,
            open=made.open,
            p=made.p if sampler.compares else None,
        )
        ids_BL, p_BLV = made.canvas, made.p
        if any(finished):
            places = [place for place, done in enumerate(finished) if not done]
            kept = torch.tensor(places, device=ids_BL.device)
            self.rows = tuple(self.rows[place] for place in places)
            past, ids_BL, p_BLV = past.keep(kept), ids_BL[kept], p_BLV[kept]
        self.past, self.ids_BL, self.soft_BLD = past, ids_BL, soften(p_BLV)
        del self.outcome
        return True


def settle(model: Denoiser, seats: Sequence[Seat], draws: Draws, *, canvas: int) -> Iterator[State]:
    """Denoise canvas number `canvas` of every row, yielding each step; a row that has settled takes
    no further part. After its sampler's `max_steps` a row is finished whatever its doubt."""
    lanes = [Lane(group, draws, canvas) for group in share(seats)]
    step = 0
    while lanes:
        step += 1
        rows = tuple(row for lane in lanes for row in lane.rows)
        soft = [lane.soft_BLD for lane in lanes if lane.soft_BLD is not None]
        logits_BLV = model.logits(
            rows, join([lane.ids_BL for lane in lanes]), join(soft) if soft else None
        )
        parts = torch.split(logits_BLV, [len(lane.rows) for lane in lanes])
        states = [lane.advance(part, step) for lane, part in zip(lanes, parts, strict=True)]
        yield states[0] if len(states) == 1 else merge(states)
        lanes = [
            lane
            for lane, state in zip(lanes, states, strict=True)
            if lane.prepare(state.finished, model.soften)
        ]


def share(seats: Sequence[Seat]) -> list[list[Seat]]:
    """Seats whose steps can be taken together: neighbours with equal rules that nothing bends."""
    groups = groupby(seats, key=lambda seat: (seat.sampler, seat.row if seat.alone else None))
    return [list(group) for _, group in groups]


def join(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def merge(states: Sequence[State]) -> State:
    return State(
        rows=tuple(row for state in states for row in state.rows),
        step=states[0].step,
        canvas=join([state.canvas for state in states]),
        best=join([state.best for state in states]),
        entropy=join([state.entropy for state in states]),
        accepted=join([state.accepted for state in states]),
        finished=tuple(done for state in states for done in state.finished),
    )


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
