"""Canvases as the sampler would have them after some steps of the model that is learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.loop import Lane, Seat
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.step import Sampler
from canvaslm.training.data.batch import Batch, Guess

# R canvases, L canvas length, V vocabulary; lower-case r: some of the canvases


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How canvases are walked and judged: the sampler, its noise, and what doubt costs."""

    sampler: Sampler
    vocab_size: int
    certainty: float


@dataclass(frozen=True, kw_only=True)
class WalkedBatch(Batch):
    """A batch whose canvases start from noise and are brought on by the sampler itself.

    seed_R     of each canvas's random numbers, as a request has one
    steps_R    passes that a canvas has had when it is learnt from; 0: pure noise. One that settles
               before is learnt from as it was in its last pass
    before     the canvases with a pass behind them, and the logits [r, L, V] of that pass, after
               temperature; None: no pass is behind any
    arrived    whether they have been walked
    """

    seed_R: Tensor
    steps_R: Tensor
    rules: Rules
    before: tuple[Tensor, Tensor] | None = None
    arrived: bool = False

    @property
    def certainty(self) -> float:
        return self.rules.certainty

    @property
    def told(self) -> tuple[Tensor, Tensor] | None:
        return self.before

    @torch.no_grad()
    def after(self, guess: Guess) -> Batch:
        """The same with every canvas, and what it is conditioned on, where its steps led; once
        there, it stays."""
        if self.arrived:
            return self
        walk = Walk(self, guess)
        walk.run()
        told = sorted(walk.told.items())
        rows = torch.tensor([row for row, _ in told], device=self.clean_RL.device)
        before = (rows, torch.stack([logits for _, logits in told])) if told else None
        return replace(self, noised_RL=walk.canvas_RL, before=before, arrived=True)


class Walk:
    """Some steps of the sampler on the canvases of a batch."""

    def __init__(self, batch: WalkedBatch, guess: Guess) -> None:
        rules, shape = batch.rules, batch.clean_RL.shape
        self.batch, self.guess, self.steps = batch, guess, batch.steps_R.tolist()
        self.draws = CounterDraws(
            seeds=batch.seed_R.tolist(),
            length=shape[1],
            rule=UniformNoise(vocab_size=rules.vocab_size),
            device=batch.clean_RL.device,
        )
        self.canvas_RL = self.draws.noise(range(shape[0]), canvas=0, step=0)
        self.told: dict[int, Tensor] = {}

    def run(self) -> None:
        seats = [
            Seat(row=row, sampler=self.batch.rules.sampler)
            for row, steps in enumerate(self.steps)
            if steps
        ]
        if not seats:
            return
        lane, step = Lane(Looking(self.guess), seats, self.draws, 0), 1
        while lane.prepare(self.take(lane, step)):
            step += 1

    def take(self, lane: Lane, step: int) -> list[bool]:
        """One step of all that are on their way; which of them go no further."""
        ids_BL, soft_BLV = lane.ids_BL, lane.soft_BLD
        state = lane.advance(lane.model.hidden(lane.rows, ids_BL, soft_BLV), step)
        known = lane.outcome.known
        assert isinstance(known, Statistics), "there is no fused head here"
        arrived = []
        for place, (row, settled) in enumerate(zip(lane.rows, state.finished, strict=True)):
            if settled:  # nobody would take another step: what was seen last is what counts
                self.keep(row, ids_BL[place], None if soft_BLV is None else soft_BLV[place])
            elif step == self.steps[row]:
                self.keep(row, state.canvas[place], known.p[place].log())
            arrived.append(settled or step == self.steps[row])
        return arrived

    def keep(self, row: int, canvas_L: Tensor, logits_LV: Tensor | None) -> None:
        self.canvas_RL[row] = canvas_L
        if logits_LV is not None:
            self.told[row] = logits_LV


@dataclass(frozen=True)
class Looking:
    """The learning model as the sampler's loop sees it: its logits pass for hidden states, and the
    logits of the step before for a soft embedding, which the model itself makes of them."""

    guess: Guess
    head: ClassVar[None] = None

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        return self.guess(torch.tensor(rows, device=ids_BL.device), ids_BL, soft_BLD)

    def hidden_at(
        self, row: int, places_R: Tensor | None, ids_1R: Tensor, soft_1RD: Tensor | None
    ) -> Tensor:
        raise AssertionError("no position is left out of a pass here")

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        return hidden_BLD

    def soften(self, p_BLV: Tensor) -> Tensor:
        return p_BLV.log()
