"""The posterior over the paths of a lattice, as a Markov chain along the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canvaslm.control.constraint.lattice import Lattice, Places
from canvaslm.diffusion.candidate import BELOW_ONE
from canvaslm.errors import ConstraintError

# L bound positions, C classes, N states possible at a position, E edges from there

Floats = NDArray[np.float64]

DEAD = -1e30  # the logarithm of nothing: finite, so that no difference of two is NaN
FAINT = -1e25  # a weight below this counts as nothing; L of them stay far above DEAD


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """Given the state before a position, how likely each of its edges is: float64 [E] a layer.

    A path's probability is the product along it, which is its weight over that of all paths.
    """

    lattice: Lattice
    odds: tuple[Floats, ...]

    def marginals(self, classes: int) -> Floats:
        """How likely each class is at each position: [L, C], rows sum to 1."""
        marginal_LC = np.empty((self.lattice.length, classes))
        belief_N = np.ones(1)
        after = [layer.states for layer in self.lattice.layers[1:]] + [self.lattice.ends]
        for i, layer in enumerate(self.lattice.layers):
            p_E = belief_N.take(layer.source_E)
            p_E *= self.odds[i]
            marginal_LC[i] = np.bincount(layer.label_E, p_E, classes)
            belief_N = np.bincount(layer.target_E, p_E, after[i]).astype(np.float64, copy=False)
        return marginal_LC

    def draw(self, uniform_L: Floats) -> Places:
        """The classes of a path, by one number in [0, 1) for each position: [L]."""
        label_L = np.empty(self.lattice.length, np.intp)
        uniform_L = np.minimum(uniform_L, BELOW_ONE)
        state = 0
        for i, layer in enumerate(self.lattice.layers):
            edge, end = layer.first_N[state : state + 2]
            if end - edge > 1:
                upper = self.odds[i][edge:end].cumsum()
                edge += upper.searchsorted(uniform_L[i] * upper[-1], side="right")
            label_L[i], state = layer.label_E[edge], layer.target_E[edge]
        return label_L


def to_chain(lattice: Lattice, mass_LC: Floats) -> Chain:
    """The chain of paths weighted by their classes, with log-weights `mass`.

    One pass from the end, in logarithms and with every state scaled for itself, so that no path is
    too unlikely to count. Raises ConstraintError where every path has weight 0.
    """
    mass_LC = alive(mass_LC)
    odds: list[Floats] = []
    ahead_N = np.zeros(lattice.ends)  # log of the weight of all that can follow
    for i in reversed(range(lattice.length)):
        layer = lattice.layers[i]
        first_N = layer.first_N[:-1]
        x_E = mass_LC[i].take(layer.label_E)
        x_E += ahead_N.take(layer.target_E)
        peak_N = np.maximum.reduceat(x_E, first_N)
        x_E -= peak_N.take(layer.source_E)
        np.exp(x_E, out=x_E)
        total_N = np.add.reduceat(x_E, first_N)
        x_E /= total_N.take(layer.source_E)
        odds.append(x_E)
        ahead_N = np.log(total_N, out=total_N)
        ahead_N += peak_N
    if lattice.length and ahead_N[0] < DEAD / 2:
        raise ConstraintError(
            "the other rules of the request forbid every text that the constraint allows; look at "
            "bad_words and logit_bias"
        )
    return Chain(lattice=lattice, odds=tuple(reversed(odds)))


def alive(mass_LC: Floats) -> Floats:
    """Log-weights with `DEAD` where there is as good as nothing."""
    return np.where(mass_LC > FAINT, mass_LC, DEAD)
