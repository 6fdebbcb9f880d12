"""Small automata, random or from a regex of letters, and what they allow by enumeration."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canvaslm.control.automaton import TokenAutomaton

Table = NDArray[np.int64]  # [S, V], the next state, -1 where there is none


def to_automaton(next_SV: Table, accepting_S: NDArray[np.bool_]) -> TokenAutomaton | None:
    """The trimmed automaton of a table, entered in state 0; None: it accepts nothing."""
    states, size = next_SV.shape
    distance = np.where(accepting_S, 0, states + 1)
    for _ in range(states):
        ahead_SV = np.where(next_SV >= 0, distance[next_SV], states + 1)
        distance = np.minimum(distance, ahead_SV.min(axis=1) + 1)
    keep = [0] if distance[0] <= states else []
    for state in keep:
        new = {t for t in next_SV[state].tolist() if t >= 0 and distance[t] <= states}
        keep += sorted(new - set(keep))
    if not keep:
        return None
    number = {state: n for n, state in enumerate(keep)} | {-1: -1}
    kept_SV = np.array([[number.get(t, -1) for t in next_SV[s].tolist()] for s in keep])
    columns = {(-1,) * len(keep): 0}
    class_of_V = [columns.setdefault(tuple(kept_SV[:, v]), len(columns)) for v in range(size)]
    edges = [
        (s, c, column[s])
        for s in range(len(keep))
        for column, c in columns.items()
        if column[s] >= 0
    ]
    source_E, label_E, target_E = np.array(edges, np.int32).reshape(-1, 3).T
    return TokenAutomaton(
        class_of_V=np.array(class_of_V, np.int32),
        classes=len(columns),
        source_E=source_E,
        label_E=label_E,
        target_E=target_E,
        accepting_S=accepting_S[keep],
        distance_S=distance[keep].astype(np.int32),
    )


def random_automaton(
    rng: np.random.Generator, *, states: int, size: int, ends: frozenset[int]
) -> TokenAutomaton:
    """One that allows something; `ends` are tokens without edges."""
    while True:
        next_SV = rng.integers(0, states, (states, size))
        next_SV[rng.random((states, size)) < rng.uniform(0.2, 0.8)] = -1
        next_SV[:, list(ends)] = -1
        automaton = to_automaton(next_SV, rng.random(states) < 0.3)
        if automaton is not None:
            return automaton


def allowed_texts(
    automaton: TokenAutomaton,
    *,
    ends: frozenset[int],
    state: int,
    room: int,
    length: int,
    pins: Mapping[int, int],
) -> list[tuple[int, ...]]:
    """Every string of the bound positions, by the definition, token after token."""
    size = len(automaton.class_of_V)
    texts: list[tuple[int, ...]] = [()]
    for i in range(min(room, length)):
        ids = [pins[i]] if i in pins else range(size)
        texts = [
            (*text, id)
            for text in texts
            for id in ids
            if is_allowed(automaton, (*text, id), ends=ends, state=state, room=room)
        ]
    return texts


def is_allowed(
    automaton: TokenAutomaton,
    ids: tuple[int, ...],
    *,
    ends: frozenset[int],
    state: int,
    room: int,
) -> bool:
    """Whether `ids` begin, or are, a complete text of at most `room` tokens."""
    edges = zip(automaton.source_E, automaton.label_E, strict=True)
    target = dict(zip(edges, automaton.target_E.tolist(), strict=True))
    for n, id in enumerate(ids):
        if id in ends:
            return bool(automaton.accepting_S[state]) and set(ids[n:]) <= ends
        if (state, automaton.class_of_V[id]) not in target:
            return False
        state = target[state, automaton.class_of_V[id]]
    return bool(automaton.distance_S[state] <= room - len(ids))


def joint(texts: list[tuple[int, ...]], z_LV: Tensor) -> Tensor:
    """The probability of each of `texts` under the product of softmax z, given that it is one."""
    ids = torch.tensor(texts).reshape(len(texts), -1)
    score = z_LV.double()[torch.arange(ids.shape[1]), ids].sum(dim=1)
    return score.softmax(dim=0)
