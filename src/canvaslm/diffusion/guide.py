"""What bends the canvas of one row: pins, constraints, logit rules, accounting, behind one face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.statistics import Statistics
from canvaslm.model.network import Bend

# L canvas, V vocabulary

Uniforms = Callable[[Stream], Tensor]
"""Numbers in [0, 1) of one purpose for this step: float64 [L]."""


class Guide(Protocol):
    """The loop asks these in this order in every step; a guide belongs to one row.

    A step that no guide bends is the plain sampler, at no cost.
    """

    def little(self, vocab_size: int) -> Bend | None:
        """All that the bending below comes to, where it is so little that a fused head can do it;
        None: the logits themselves are needed."""
        ...

    def start(self, noise_L: Tensor) -> Tensor:
        """The first canvas [L]: noise, a draft to go on from, or pinned tokens among it."""
        ...

    def bend_logits(self, logits_LV: Tensor) -> None:
        """Change the logits in place, before temperature: bias, forbidden tokens, penalties."""
        ...

    def bend(self, z_LV: Tensor) -> None:
        """Change them in place after temperature, to the posterior: pins, constraint."""
        ...

    def best(self, known: Statistics) -> Tensor:
        """What would be committed now: int64 [L]. `known` has a batch of one."""
        ...

    def candidates(self, known: Statistics, drawn_L: Tensor, uniforms: Uniforms) -> Tensor:
        """The candidates [L]: `drawn`, each position for itself, or a joint draw instead."""
        ...

    def open(self, best_L: Tensor) -> Tensor | None:
        """bool [L]: positions that count for accepting and stopping; None: all of them."""
        ...

    def pin(self, start: Sequence[int]) -> None:
        """From now on the canvas begins with these tokens. Unlike the pins of a request they go on
        to count, as the settled positions that they are."""
        ...

    def hold(self, canvas_L: Tensor) -> Tensor:
        """The canvas after accepting and noise [L], with pinned tokens written again."""
        ...
