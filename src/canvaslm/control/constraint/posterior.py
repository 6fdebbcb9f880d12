"""What a canvas may hold once the constraint is known: drawn whole, or the likeliest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from canvaslm.control.constraint.chain import Chain, to_chain
from canvaslm.control.constraint.columns import Columns
from canvaslm.control.constraint.lattice import Lattice, Places
from canvaslm.control.constraint.viterbi import likeliest

# L canvas, V vocabulary, C classes


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """The product of the positions' distributions, given that the text is allowed.

    Exact (arXiv 2505.23061, 2607.07026): the positions before the cut depend on each other through
    the automaton only, so dynamic programming over its classes suffices. `z` is what `condition`
    left, read again by `draw`: a caller who writes over it conditions a copy.
    """

    z_LV: Tensor
    best_L: Tensor
    chain: Chain
    columns: Columns

    def best(self) -> Tensor:
        """The likeliest allowed canvas: int64 [L]; of equal tokens in a class the lowest id."""
        return self.best_L

    def draw(self, path_L: Tensor, token_L: Tensor) -> Tensor:
        """A canvas from the joint distribution: int64 [L].

        Two numbers in [0, 1) for each position: `path` chooses its class, given all before it,
        `token` the token in it. Whichever part of the canvas is kept can still be completed to an
        allowed one.
        """
        label_L = self.chain.draw(path_L.double().cpu().numpy())
        label_L = _with_free(label_L, len(self.z_LV), self.columns)
        return self.columns.draw(self.z_LV, label_L, token_L.to(self.z_LV.device))


def condition(z_LV: Tensor, lattice: Lattice, columns: Columns) -> Posterior:
    """Turn z, in place, into log-probabilities given the constraint.

    softmax(z) is then the exact marginal of each position; tokens that are impossible there have
    -inf. Rows past the lattice stay as they are. Raises ConstraintError where every allowed text
    has a token of -inf.
    """
    bound_LV = z_LV[: lattice.length]
    mass_LC, peak_LC = columns.weigh(bound_LV)
    chain = to_chain(lattice, mass_LC)
    label_L = likeliest(lattice, peak_LC)
    peak_L = np.append(
        peak_LC[np.arange(len(label_L)), label_L], z_LV[lattice.length :].amax(dim=-1).cpu().numpy()
    )
    best_L = columns.best(z_LV, _with_free(label_L, len(z_LV), columns), peak_L)
    with np.errstate(divide="ignore"):
        shift_LC = np.log(chain.marginals(columns.classes))
    np.subtract(shift_LC, mass_LC, out=shift_LC, where=shift_LC > -np.inf)
    columns.shift(bound_LV, shift_LC)
    return Posterior(z_LV=z_LV, best_L=best_L, chain=chain, columns=columns)


def _with_free(label_L: Places, length: int, columns: Columns) -> Places:
    """The classes with those of the free positions after them."""
    return np.append(label_L, np.full(length - len(label_L), columns.classes))
