"""What the rules of a step may look at: this step's statistics, and what earlier steps left."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from canvaslm.diffusion.statistics import Known

# B batch, L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Past:
    """What the earlier steps of a canvas left, newest last; all empty before the first.

    best      their likeliest canvases [B, L], as many as the sampler's rules look back on
    accepted  which positions the last step accepted [B, L]
    entropy   its entropies [B, L]
    open      which positions counted in it [B, L]; None: all
    p         its probabilities [B, L, V], kept only where a rule `compares`
    """

    best: tuple[Tensor, ...] = ()
    accepted: Tensor | None = None
    entropy: Tensor | None = None
    open: Tensor | None = None
    p: Tensor | None = None

    def keep(self, rows: Tensor) -> Past:
        """The past of some rows of the batch, by their places."""

        def pick(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[rows]

        return Past(
            best=tuple(best_BL[rows] for best_BL in self.best),
            accepted=pick(self.accepted),
            entropy=pick(self.entropy),
            open=pick(self.open),
            p=pick(self.p),
        )


START = Past()
"""Before the first step."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One step as accepting and stopping see it.

    step   number of the step, from 1
    known  entropies and the likeliest tokens; probabilities, if the sampler `reads_all`
    best   the canvas that would be committed now [B, L]: the likeliest tokens, or under a
           constraint the likeliest allowed text
    open   bool [B, L]: positions that count; None: all. The others are pinned, or lie past the end
           of the text
    past   what earlier steps left
    """

    step: int
    known: Known
    best: Tensor
    open: Tensor | None = None
    past: Past = START

    @property
    def entropy(self) -> Tensor:
        """Doubt in nats [B, L], 0 where a position does not count."""
        if self.open is None:
            return self.known.entropy
        return self.known.entropy.where(self.open, 0.0)
