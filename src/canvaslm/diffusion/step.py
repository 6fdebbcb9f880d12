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
from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.statistics import statistics
from canvaslm.diffusion.stop import StableAndConfident, Stop
from canvaslm.diffusion.temperature import LinearTemperature, Temperature
from canvaslm.diffusion.view import Past, View

# B batch, L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The rules of a canvas, together. The defaults are the published sampler."""

    temperature: Temperature = field(default_factory=LinearTemperature)
    choose: Choose = field(default_factory=Drawn)
    account: Account = field(default_factory=Everything)
    accept: Accept = field(default_factory=EntropyBound)
    correct: Correct | None = None
    stop: Stop = field(default_factory=StableAndConfident)

    @property
    def max_steps(self) -> int:
        return self.temperature.max_steps

    @property
    def looks_back(self) -> int:
        """How many earlier likeliest canvases the rules compare with."""
        return max(rule.looks_back for rule in (self.account, self.accept, self.stop))

    @property
    def compares(self) -> bool:
        """Whether a rule compares with the probabilities of the step before."""
        return self.accept.compares


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step made of its logits: `p` is [B, L, V], `settled` [B], all else [B, L].

    `open` are the positions that counted; None: all.
    """

    p: Tensor
    entropy: Tensor
    best: Tensor
    accepted: Tensor
    canvas: Tensor
    settled: Tensor
    open: Tensor | None = None


def take_step(
    logits_BLV: Tensor,
    *,
    sampler: Sampler,
    draws: Draws,
    rows: Sequence[int],
    canvas: int,
    step: int,
    past: Past,
    guide: Guide | None = None,
) -> Outcome:
    """Apply the rules once; `step` counts from 1. Overwrites `logits`. Never waits for the device.

    Accepted positions take their candidate, all others fresh noise: nothing is locked. A `guide`
    bends the step of the one row there is then.
    """
    if guide is not None:
        guide.bend_logits(logits_BLV[0])
    z_BLV = logits_BLV.div_(sampler.temperature.at(sampler.max_steps - step + 1, past))
    if guide is not None:
        guide.bend(z_BLV[0])
    known = statistics(z_BLV)
    candidates = sampler.choose.candidates(known, draws, rows, canvas=canvas, step=step)
    best = known.best
    if guide is not None:

        def uniforms(stream: Stream) -> Tensor:
            return draws.uniforms(rows, canvas=canvas, step=step, stream=stream)[0]

        candidates = guide.candidates(known, candidates[0], uniforms)[None]
        best = guide.best(known)[None]
    open_BL = sampler.account.open(known, best, past)
    if guide is not None:
        open_BL = both(open_BL, guide.open(best[0]))
    view = View(step=step, known=known, best=best, open=open_BL, past=past)
    accepted = sampler.accept.accepted(view)
    if sampler.correct is not None:
        uniform_BL = draws.uniforms(rows, canvas=canvas, step=step, stream=Stream.CORRECT)
        accepted = sampler.correct.kept(view, accepted, uniform_BL)
    after = torch.where(accepted, candidates, draws.noise(rows, canvas=canvas, step=step))
    return Outcome(
        p=known.p,
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
