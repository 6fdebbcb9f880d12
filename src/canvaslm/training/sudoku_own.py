"""Canvases that the model itself has seen before: drawn over its own outputs, looked at again.

The first teach it to mend errors that look right, the second to think on from what it believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from canvaslm.training.data.batch import Batch, Guess

# R canvases, L canvas length, V vocabulary; lower-case r: some of the canvases


@dataclass(frozen=True, kw_only=True)
class OwnBatch(Batch):
    """A batch of which some canvases start from what the model itself would have written.

    own_R       passes that write a canvas's ground before it is noised: 0 (the right answer), 1, 2
    start_RL    what the first pass sees: noise, but for what is given
    fresh_RL    where the training noise goes, on either ground
    kept_RL     what is given and stays
    uniform_RL  in [0, 1): draws the outputs
    looks_R     passes whose guess, each seeing the one before, conditions a canvas; 0: what
                `sighted_R` says
    seen        the canvases of several looks and the logits [r, L, V] of the last; None: not yet
    """

    own_R: Tensor
    start_RL: Tensor
    fresh_RL: Tensor
    kept_RL: Tensor
    uniform_RL: Tensor
    looks_R: Tensor
    seen: tuple[Tensor, Tensor] | None = None

    @property
    def told(self) -> tuple[Tensor, Tensor] | None:
        return self.seen

    @torch.no_grad()
    def after(self, guess: Guess) -> OwnBatch:
        """The same with own outputs below the noise, and with what several looks came to."""
        return self.written(guess).looked_at(guess)

    def looked_at(self, guess: Guess) -> OwnBatch:
        """With the guesses that condition the canvases of several looks."""
        rows = self.looks_R.nonzero().flatten()
        if not len(rows):
            return self
        logits_rLV = guess(rows, self.noised_RL[rows], None)
        for look in range(1, int(self.looks_R.max())):
            more = (self.looks_R[rows] > look).nonzero().flatten()
            again = rows[more]
            logits_rLV[more] = guess(again, self.noised_RL[again], logits_rLV[more])
        return replace(self, seen=(rows, logits_rLV))

    def written(self, guess: Guess) -> OwnBatch:
        """With outputs of one pass, or two, below the noise of the chosen canvases."""
        rows = self.own_R.nonzero().flatten()
        if not len(rows):
            return self
        logits = guess(rows, self.start_RL[rows], None)
        own = self.drawn(logits, rows)
        second = (self.own_R[rows] > 1).nonzero().flatten()
        if len(second):
            again = rows[second]
            canvas = torch.where(self.fresh_RL[again], self.start_RL[again], own[second])
            own[second] = self.drawn(guess(again, canvas, logits[second]), again)
        noised_RL = self.noised_RL.clone()
        noised_RL[rows] = torch.where(self.fresh_RL[rows], self.noised_RL[rows], own)
        return replace(self, noised_RL=noised_RL)

    def drawn(self, logits_rLV: Tensor, rows: Tensor) -> Tensor:
        """A token for each position from its probabilities; what is given stays."""
        ladder_rLV = logits_rLV.float().softmax(dim=-1).cumsum(dim=-1)
        taken_rL1 = self.uniform_RL[rows, :, None] * ladder_rLV[..., -1:]
        ids_rL = torch.searchsorted(ladder_rLV, taken_rL1, right=True)[..., 0]
        ids_rL = ids_rL.clamp_max(logits_rLV.shape[-1] - 1)
        return torch.where(self.kept_RL[rows], self.clean_RL[rows], ids_rL)
