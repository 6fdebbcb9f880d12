"""The loop of a canvas: from noise, step by step, until it has settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.guide import Guide
from canvaslm.diffusion.hold import Hold
from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.step import Outcome, Sampler, Turn, take_believed_step, take_step
from canvaslm.diffusion.view import Past
from canvaslm.kernels.ops import Belief
from canvaslm.model.network import FusedHead

# B rows still at work, L canvas, D hidden, V vocabulary


class Denoiser(Protocol):
    """The model as the loop sees it; `rows` says which sequences of a batch the tensors hold."""

    @property
    def head(self) -> FusedHead | None:
        """None where the model has none: then logits are all there is."""
        ...

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        """What the canvas looks like to the head: [B, L, D]."""
        ...

    def hidden_at(
        self, row: int, places_R: Tensor | None, ids_1R: Tensor, soft_1RD: Tensor | None
    ) -> Tensor:
        """The same of one row at some places only [1, R, D]; None: at all, to begin with."""
        ...

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        """float32 [B, L, V], soft-capped, before temperature; a tensor the loop may overwrite."""
        ...

    def soften(self, p_BLV: Tensor) -> Tensor:
        """The soft embedding of probabilities: [B, L, D]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Seat:
    """How one row of a batch is denoised: by which rules, and what bends and watches them.

    Of a sampler that holds: so many positions are `held` from the start, and `keep` is told the
    tokens of each further part; with True from it the rest does not matter, and the row is done.
    """

    row: int
    sampler: Sampler
    guide: Guide | None = None
    watch: Callable[[Outcome], None] | None = None
    held: int = 0
    keep: Callable[[Sequence[int]], bool] | None = None

    @property
    def alone(self) -> bool:
        """Whether its steps are taken by themselves; others with equal rules share theirs."""
        sampler = self.sampler
        plain = self.guide is None and self.watch is None
        return not (plain and sampler.skip is None and sampler.hold is None)


@dataclass(frozen=True, kw_only=True)
class State:
    """A canvas after `step` passes, for the `rows` that took part; tensors are [B, L].

    `canvas` holds accepted candidates among fresh noise, `best` the likeliest token everywhere,
    which is what is committed once a row is `finished`. The first `held` positions of a row do not
    change any more.
    """

    rows: tuple[int, ...]
    step: int
    canvas: Tensor
    best: Tensor
    entropy: Tensor
    accepted: Tensor
    finished: tuple[bool, ...]
    held: tuple[int, ...]


class Lane:
    """Rows that share their rules, on their way through one canvas."""

    def __init__(self, model: Denoiser, seats: Sequence[Seat], draws: Draws, canvas: int) -> None:
        self.model = model
        self.rows = tuple(seat.row for seat in seats)
        self.sampler, self.guide, self.watch = seats[0].sampler, seats[0].guide, seats[0].watch
        self.held, self.keep = seats[0].held, seats[0].keep
        self.draws, self.canvas = draws, canvas
        self.past = Past()
        self.soft_BLD: Tensor | None = None
        self.places: Tensor | None = None
        self.ids_BL = draws.noise(self.rows, canvas=canvas, step=0)
        self.head, self.bend = self.choose_head(), None
        if self.guide is not None:
            self.ids_BL = self.guide.start(self.ids_BL[0])[None]
            if self.head is not None:
                self.bend = self.guide.little(self.head.vocab_size)

    def choose_head(self) -> FusedHead | None:
        """The model's fused head, if nothing here needs more than it gives."""
        head = self.model.head
        if head is None or self.watch is not None or self.sampler.reads_all:
            return None
        bent = self.guide is not None and self.guide.little(head.vocab_size) is None
        return None if bent or not self.draws.inverts else head

    def hidden(self) -> Tensor:
        """The pass of a row that skips what has settled: [1, L, D], some of it from before."""
        places, soft_1LD = self.places, self.soft_BLD
        if places is None:
            self._hidden_1LD = self.model.hidden_at(self.rows[0], None, self.ids_BL, soft_1LD)
        else:
            soft_1RD = None if soft_1LD is None else soft_1LD[:, places]
            new_1RD = self.model.hidden_at(self.rows[0], places, self.ids_BL[:, places], soft_1RD)
            self._hidden_1LD = self._hidden_1LD.index_copy(1, places, new_1RD)
        return self._hidden_1LD

    def advance(self, hidden_BLD: Tensor, step: int) -> State:
        """Take one step."""
        turn = Turn(
            sampler=self.sampler,
            draws=self.draws,
            rows=self.rows,
            canvas=self.canvas,
            step=step,
            past=self.past,
            guide=self.guide,
        )
        if self.head is None:
            outcome = take_step(self.model.logits(hidden_BLD), turn)
        else:
            belief = self.head.believe(
                hidden_BLD,
                temperature=turn.temperature,
                uniform_BL=turn.uniforms(Stream.CANDIDATE),
                soft=not turn.last,
                bend=self.bend,
            )
            outcome = take_believed_step(belief, turn)
        # reading which rows have settled is the one wait for the device
        finished = [True] * len(self.rows) if turn.last else outcome.settled.tolist()
        if self.sampler.hold is not None and not finished[0]:
            outcome, finished = self.settle_start(self.sampler.hold, outcome)
        if self.watch is not None:
            self.watch(outcome)
        self.outcome, self.step = outcome, step
        return describe(self.rows, step, outcome, finished=finished, held=self.held)

    def settle_start(self, hold: Hold, outcome: Outcome) -> tuple[Outcome, list[bool]]:
        """Hold more of the one row there is, if more has settled; and whether it is done then."""
        assert self.guide is not None, "a sampler that holds takes a guide"
        count = hold.count(
            self.held,
            best_1L=outcome.best,
            earlier=self.past.best,
            accepted_1L=outcome.accepted,
            entropy_1L=outcome.entropy,
        )
        if count == self.held:
            return outcome, [False]
        start = outcome.best[0, :count].tolist()
        self.guide.pin(start)
        if self.head is not None:
            self.bend = self.guide.little(self.head.vocab_size)
        ended = self.keep is not None and self.keep(start[self.held :])
        ended, self.held = ended or count == outcome.best.shape[1], count
        return replace(outcome, canvas=self.guide.hold(outcome.canvas[0])[None]), [ended]

    def prepare(self, finished: Sequence[bool]) -> bool:
        """Get ready for the next step, without the finished rows. False: none is left."""
        if all(finished):
            return False
        made, sampler = self.outcome, self.sampler
        past = Past(
            best=(*self.past.best, made.best)[-sampler.looks_back :] if sampler.looks_back else (),
            accepted=made.accepted,
            entropy=made.entropy,
            open=made.open,
            p=made.known.p if isinstance(made.known, Statistics) and sampler.compares else None,
        )
        places = [place for place, done in enumerate(finished) if not done]
        if sampler.skip is not None:
            self.places = sampler.skip.places(
                self.step,
                before_1L=self.ids_BL,
                after_1L=made.canvas,
                best_1L=made.best,
                accepted_1L=made.accepted,
                entropy_1L=made.entropy,
            )
        self.past, self.ids_BL = past, made.canvas
        self.soft_BLD = self.soften(places)
        if any(finished):
            kept = torch.tensor(places, device=self.ids_BL.device)
            self.rows = tuple(self.rows[place] for place in places)
            self.past, self.ids_BL = past.keep(kept), self.ids_BL[kept]
        del self.outcome
        return True

    def soften(self, places: Sequence[int]) -> Tensor:
        """The soft embedding of the rows in these places."""
        known = self.outcome.known
        if isinstance(known, Belief):
            assert self.head is not None
            return self.head.soften(known, places)
        assert isinstance(known, Statistics)
        p_BLV = known.p
        if len(places) < len(p_BLV):
            p_BLV = p_BLV[torch.tensor(places, device=p_BLV.device)]
        return self.model.soften(p_BLV)


def settle(model: Denoiser, seats: Sequence[Seat], draws: Draws, *, canvas: int) -> Iterator[State]:
    """Denoise canvas number `canvas` of every row, yielding each step; a row that has settled takes
    no further part. After its sampler's `max_steps` a row is finished whatever its doubt."""
    lanes = [Lane(model, group, draws, canvas) for group in share(seats)]
    step = 0
    while lanes:
        step += 1
        hidden = look(model, lanes)
        states = [lane.advance(part, step) for lane, part in zip(lanes, hidden, strict=True)]
        yield states[0] if len(states) == 1 else merge(states)
        lanes = [
            lane for lane, state in zip(lanes, states, strict=True) if lane.prepare(state.finished)
        ]


def look(model: Denoiser, lanes: Sequence[Lane]) -> list[Tensor]:
    """One pass over every lane's canvases: together, but for rows that skip what has settled."""
    whole = [lane for lane in lanes if lane.sampler.skip is None]
    parts: Iterator[Tensor] = iter(())
    if whole:
        rows = tuple(row for lane in whole for row in lane.rows)
        soft = [lane.soft_BLD for lane in whole if lane.soft_BLD is not None]
        hidden_BLD = model.hidden(
            rows, join([lane.ids_BL for lane in whole]), join(soft) if soft else None
        )
        parts = iter(torch.split(hidden_BLD, [len(lane.rows) for lane in whole]))
    return [next(parts) if lane.sampler.skip is None else lane.hidden() for lane in lanes]


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
        held=tuple(count for state in states for count in state.held),
    )


def describe(
    rows: tuple[int, ...], step: int, outcome: Outcome, *, finished: Sequence[bool], held: int
) -> State:
    """The state to show."""
    return State(
        rows=rows,
        step=step,
        canvas=outcome.canvas,
        best=outcome.best,
        entropy=outcome.entropy,
        accepted=outcome.accepted,
        finished=tuple(finished),
        held=(held,) * len(rows),
    )
