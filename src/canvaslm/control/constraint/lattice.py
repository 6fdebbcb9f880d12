"""Which edges an allowed text can take at each position of a canvas, within its room and pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canvaslm.control.constraint.machine import Machine
from canvaslm.errors import ConstraintError

# N states possible at a position, E edges from there, S states of the machine

Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """The edges of one position, sorted by source. States are numbered within their position.

    first_N [N + 1]   where each state's edges begin, and after the last, their number
    source_E, target_E, label_E
                      each edge's state here, its state at the next position, and its class
    """

    first_N: Places
    source_E: Places
    target_E: Places
    label_E: Places

    @property
    def states(self) -> int:
        return len(self.first_N) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """Every state in it leads to an end, so that no path is a dead end. The first layer has one
    state, the entry; the positions past the last layer are free. `ends` counts the states after
    the last layer. Positions of one shape share their layer.
    """

    layers: tuple[Layer, ...]
    ends: int

    @property
    def length(self) -> int:
        """How many positions are bound, from the first one on."""
        return len(self.layers)


def build_lattice(
    machine: Machine, *, state: int, room: int, length: int, pins: Mapping[int, int]
) -> Lattice:
    """The lattice of a canvas of `length` positions entered in `state`.

    `room` tokens may still come: positions past it are free, and a state counts only where its
    distance to a complete text fits what is left. `pins` gives tokens by position. Raises
    ConstraintError where no text is left, naming the first such position.
    """
    require_room(machine, state, room)
    bound = min(room, length)
    labels = [int(machine.class_of_V[pins[i]]) if i in pins else None for i in range(bound)]
    reached = _reach(machine, state, room, labels)
    useful = _useful(machine, room, labels)
    degree_S = np.diff(machine.first_S)
    known: dict[tuple[bytes, bytes, int | None], Layer] = {}
    layers = []
    here_S, pruned = reached[0], True
    for i, label in enumerate(labels):
        next_S = useful[i + 1]
        if pruned:
            both_S = reached[i + 1] & next_S
            # once most states are reached, all useful ones: the same set for many positions
            pruned = 2 * degree_S[both_S].sum() < degree_S[next_S].sum()
            next_S = both_S if pruned else next_S
        key = (here_S.tobytes(), next_S.tobytes(), label)
        if key not in known:
            known[key] = _layer(machine, here_S, next_S, label)
        layers.append(known[key])
        here_S = next_S
    return Lattice(layers=tuple(layers), ends=int(here_S.sum()))


def require_room(machine: Machine, state: int, room: int) -> None:
    """Raises ConstraintError where no complete text fits."""
    least = machine.least_room(state)
    if least > room:
        raise ConstraintError(
            f"the shortest text that completes the constraint takes {least} tokens, but only "
            f"{room} are left; raise max_tokens by {least - room} or more"
        )


def _reach(machine: Machine, state: int, room: int, labels: list[int | None]) -> list[Flags]:
    """The states after each number of tokens from which the text can be completed in time."""
    reached = [np.arange(machine.sink + 1) == state]
    for i, label in enumerate(labels):
        live_E = _usable(machine, label)
        live_E &= reached[i][machine.source_E]
        after_S = np.zeros_like(reached[i])
        after_S[machine.target_E[live_E]] = True
        after_S &= machine.distance_S < room - i
        if not after_S.any():
            raise ConstraintError(
                f"the pins contradict the constraint: no token is left for position {i} of the "
                f"canvas; change the pins at or before it, the constraint or max_tokens"
            )
        reached.append(after_S)
    return reached


def _useful(machine: Machine, room: int, labels: list[int | None]) -> list[Flags]:
    """The states before each position, and after the last, that lead to an end."""
    useful = [machine.distance_S <= room - len(labels)]
    for label in reversed(labels):
        live_E = _usable(machine, label)
        live_E &= useful[-1][machine.target_E]
        before_S = np.zeros_like(useful[-1])
        before_S[machine.source_E[live_E]] = True
        useful.append(before_S)
    return useful[::-1]


def _usable(machine: Machine, label: int | None) -> Flags:
    """The edges that a position may take, all where it is not pinned: a new array."""
    usable_E: Flags = machine.label_E == label if label is not None else machine.label_E >= 0
    return usable_E


def _layer(machine: Machine, here_S: Flags, next_S: Flags, label: int | None) -> Layer:
    usable_E = _usable(machine, label)
    usable_E &= here_S[machine.source_E] & next_S[machine.target_E]
    edges = np.flatnonzero(usable_E)
    number_here, number_next = np.cumsum(here_S) - 1, np.cumsum(next_S) - 1
    source_E = number_here[machine.source_E[edges]]
    return Layer(
        first_N=np.searchsorted(source_E, np.arange(here_S.sum() + 1)),
        source_E=source_E,
        target_E=number_next[machine.target_E[edges]],
        label_E=machine.label_E[edges].astype(np.intp),
    )
