"""The likeliest path through a lattice."""

from __future__ import annotations

import numpy as np

from canvaslm.control.constraint.chain import Floats, alive
from canvaslm.control.constraint.lattice import Lattice, Places

# L bound positions, C classes, N states possible at a position, E edges from there


def likeliest(lattice: Lattice, peak_LC: Floats) -> Places:
    """The classes [L] of the path with the largest sum of `peak`, the log-weight of the likeliest
    token of each class. Of equal ones the lower class, decided from the first position on.
    """
    peak_LC = alive(peak_LC)
    scores: list[Floats] = []
    ahead_N = np.zeros(lattice.ends)
    for i in reversed(range(lattice.length)):
        layer = lattice.layers[i]
        x_E = peak_LC[i].take(layer.label_E)
        x_E += ahead_N.take(layer.target_E)
        scores.append(x_E)
        ahead_N = np.maximum.reduceat(x_E, layer.first_N[:-1])
    label_L = np.empty(lattice.length, np.intp)
    state = 0
    for i, layer in enumerate(lattice.layers):
        edge, end = layer.first_N[state : state + 2]
        edge += scores[-1 - i][edge:end].argmax()
        label_L[i], state = layer.label_E[edge], layer.target_E[edge]
    return label_L
