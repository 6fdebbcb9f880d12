"""One denoising step, from logits to the next canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.statistics import statistics
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature

# B batch, L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The rules of a canvas, together. The defaults are the published sampler."""

    temperature: LinearTemperature = field(default_factory=LinearTemperature)
    accept: EntropyBound = field(default_factory=EntropyBound)
    stop: StableAndConfident = field(default_factory=StableAndConfident)

    @property
    def max_steps(self) -> int:
        return self.temperature.max_steps


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step made of its logits: `p` is [B, L, V], `settled` [B], all else [B, L]."""

    p: Tensor
    entropy: Tensor
    best: Tensor
    accepted: Tensor
    canvas: Tensor
    settled: Tensor


def take_step(
    logits_BLV: Tensor,
    *,
    sampler: Sampler,
    draws: Draws,
    rows: Sequence[int],
    canvas: int,
    step: int,
    earlier: Sequence[Tensor],
) -> Outcome:
    """Apply the rules once; `step` counts from 1. Overwrites `logits`. Never waits for the device.

    Accepted positions take their candidate, all others fresh noise: nothing is locked.
    """
    remaining = sampler.max_steps - step + 1
    known = statistics(logits_BLV.div_(sampler.temperature.at(remaining)))
    candidates = draws.candidates(rows, known, canvas=canvas, step=step)
    accepted = sampler.accept.accepted(known.entropy)
    noise = draws.noise(rows, canvas=canvas, step=step)
    return Outcome(
        p=known.p,
        entropy=known.entropy,
        best=known.best,
        accepted=accepted,
        canvas=torch.where(accepted, candidates, noise),
        settled=sampler.stop.settled(known.best, known.entropy, earlier),
    )
