"""One denoising step, from logits to the next canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from canvaslm.diffusion.accept import Accept, EntropyBound
from canvaslm.diffusion.account import Account, Everything
from canvaslm.diffusion.choose import Choose, Drawn
from canvaslm.diffusion.correct import Correct
from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.guide import Guide
from canvaslm.diffusion.hold import Hold
from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.skip import Skip
from canvaslm.diffusion.statistics import Known, statistics
from canvaslm.diffusion.stop import StableAndConfident, Stop
from canvaslm.diffusion.temperature import LinearTemperature, Temperature
from canvaslm.diffusion.view import Past, View
from canvaslm.kernels.ops import Belief

# B batch, L canvas, V vocabulary, D hidden


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The rules of a canvas, together. The defaults are the published sampler.

    `skip` leaves settled positions out of a pass; None: every pass computes all of them. `hold`
    lets the start of a canvas settle before the rest; None: every position may change until the
    canvas is done. It takes a guide, which pins what is held.
    """

    temperature: Temperature = field(default_factory=LinearTemperature)
    choose: Choose = field(default_factory=Drawn)
    account: Account = field(default_factory=Everything)
    accept: Accept = field(default_factory=EntropyBound)
    correct: Correct | None = None
    stop: Stop = field(default_factory=StableAndConfident)
    skip: Skip | None = None
    hold: Hold | None = None

    @property
    def max_steps(self) -> int:
        return self.temperature.max_steps

    @property
    def looks_back(self) -> int:
        """How many earlier likeliest canvases the rules compare with."""
        back = max(rule.looks_back for rule in (self.account, self.accept, self.stop))
        return back if self.hold is None else max(back, self.hold.looks_back)

    @property
    def compares(self) -> bool:
        """Whether a rule compares with the probabilities of the step before."""
        return self.accept.compares

    @property
    def reads_all(self) -> bool:
        """Whether a rule reads the probabilities of the whole vocabulary."""
        return self.choose.reads_all or self.compares


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step made of its logits: `settled` is [B], all else [B, L].

    `known` are the statistics it went by: with all probabilities, or what a fused head left of
    them. `open` are the positions that counted; None: all.
    """

    known: Known
    entropy: Tensor
    best: Tensor
    accepted: Tensor
    canvas: Tensor
    settled: Tensor
    open: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whose step it is: the rules, the random numbers, and what came before. `step` counts from 1.

    A `guide` bends the steps of the one row there is then.
    """

    sampler: Sampler
    draws: Draws
    rows: Sequence[int]
    canvas: int
    step: int
    past: Past
    guide: Guide | None = None

    @property
    def temperature(self) -> float | Tensor:
        sampler = self.sampler
        return sampler.temperature.at(sampler.max_steps - self.step + 1, self.past)

    @property
    def last(self) -> bool:
        """Whether no step may follow."""
        return self.step == self.sampler.max_steps

    def uniforms(self, stream: Stream) -> Tensor:
        """Numbers in [0, 1) of one purpose: float64 [B, L]."""
        return self.draws.uniforms(self.rows, canvas=self.canvas, step=self.step, stream=stream)


def take_step(logits_BLV: Tensor, turn: Turn) -> Outcome:
    """Apply the rules once. Overwrites `logits`. Never waits for the device."""
    guide = turn.guide
    if guide is not None:
        guide.bend_logits(logits_BLV[0])
    z_BLV = logits_BLV.div_(turn.temperature)
    if guide is not None:
        guide.bend(z_BLV[0])
    known = statistics(z_BLV)
    candidates = turn.sampler.choose.candidates(
        known, turn.draws, turn.rows, canvas=turn.canvas, step=turn.step
    )
    best = known.best
    if guide is not None:
        candidates = guide.candidates(
            known, candidates[0], lambda stream: turn.uniforms(stream)[0]
        )[None]
        best = guide.best(known)[None]
    return decide(turn, known, best=best, candidates=candidates)


def take_believed_step(belief: Belief, turn: Turn) -> Outcome:
    """The same of what a fused head believes: [B, L] each, the candidates among them. A guide, if
    there is one, bends so little that the head has done it already."""
    best, candidates = belief.best, turn.sampler.choose.believed(belief)
    return decide(turn, belief, best=best, candidates=candidates)


def decide(turn: Turn, known: Known, *, best: Tensor, candidates: Tensor) -> Outcome:
    """Accepted positions take their candidate, all others fresh noise: nothing is locked."""
    sampler, guide = turn.sampler, turn.guide
    open_BL = sampler.account.open(known, best, turn.past)
    if guide is not None:
        open_BL = both(open_BL, guide.open(best[0]))
    view = View(step=turn.step, known=known, best=best, open=open_BL, past=turn.past)
    accepted = sampler.accept.accepted(view)
    if sampler.correct is not None:
        accepted = sampler.correct.kept(view, accepted, turn.uniforms(Stream.CORRECT))
    noise = turn.draws.noise(turn.rows, canvas=turn.canvas, step=turn.step)
    after = torch.where(accepted, candidates, noise)
    return Outcome(
        known=known,
        entropy=known.entropy,
        best=best,
        accepted=accepted,
        canvas=after if guide is None else guide.hold(after[0])[None],
        settled=sampler.stop.settled(view),
        open=open_BL,
    )


def both(open_BL: Tensor | None, bent_L: Tensor | None) -> Tensor | None:
    """Positions that count by both accounts; None is all of them."""
    if bent_L is None:
        return open_BL
    return bent_L[None] if open_BL is None else open_BL & bent_L
