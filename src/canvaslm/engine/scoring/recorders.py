"""Log-probabilities that the denoiser gave while a canvas settled, noted step by step.

A recorder is called with the outcome of every step of a canvas, a batch of one, as a `Seat`'s
`watch`; then `picked` is about the canvas that the last step would commit. The probabilities are
those the step drew from: after temperature, pins, constraint and logit rules.
"""

from __future__ import annotations

from torch import Tensor

from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.step import Outcome
from canvaslm.engine.scoring.token import Picked, pick_probabilities

# L canvas

UNHELD = -1


class LastStep:
    """`denoiser`: log p of each committed token at the last step of its canvas."""

    def __init__(self, *, top: int) -> None:
        self.top = top
        self.picked: Picked | None = None

    def __call__(self, outcome: Outcome) -> None:
        self.picked = pick_probabilities(all_of(outcome), outcome.best[0], top=self.top)


class Path:
    """`path`: log p of each committed token at the step at which it came to stay.

    After a step a position holds its candidate if that was accepted, and nothing if it went back to
    noise; the commit makes every position hold its committed token. A token came to stay at the
    first step of the unbroken run of steps, up to the commit, after which its position holds it.
    The sum is the log-probability of the accepted draws that made the canvas, which is not that of
    the canvas: many paths lead to it.
    """

    def __init__(self, *, top: int) -> None:
        self.top = top
        self.picked: Picked | None = None
        self._held_L: Tensor | None = None
        self._entered: Picked | None = None

    def __call__(self, outcome: Outcome) -> None:
        p_LV, canvas_L, best_L = all_of(outcome), outcome.canvas[0], outcome.best[0]
        entered = pick_probabilities(p_LV, canvas_L, top=self.top)
        committed = entered._replace(logprob=p_LV.gather(-1, best_L[:, None])[:, 0].log())
        held_L = canvas_L.where(outcome.accepted[0], UNHELD)
        if self._held_L is None or self._entered is None:
            self.picked, self._entered = committed, entered
        else:
            self.picked = self._entered.where(self._held_L == best_L, committed)
            self._entered = self._entered.where(self._held_L == held_L, entered)
        self._held_L = held_L


def all_of(outcome: Outcome) -> Tensor:
    """The probabilities of the one row there is: [L, V]. A watched step has them all."""
    assert isinstance(outcome.known, Statistics)
    return outcome.known.p[0]
