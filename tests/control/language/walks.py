"""Random walks through a token automaton, and the strings that brute force finds."""

import random

import numpy as np

from canvaslm.control.automaton import TokenAutomaton

LETTERS = [bytes([byte]) for byte in range(256)]


def steps_of(automaton: TokenAutomaton) -> dict[int, dict[int, int]]:
    """state -> class -> state"""
    steps: dict[int, dict[int, int]] = {state: {} for state in range(automaton.states)}
    edges = (automaton.source_E, automaton.label_E, automaton.target_E)
    for source, label, target in zip(*(e.tolist() for e in edges), strict=True):
        assert label not in steps[source]
        steps[source][label] = target
    return steps


def accepts(automaton: TokenAutomaton, ids: list[int]) -> bool:
    steps, state = steps_of(automaton), automaton.start
    for id in ids:
        label = int(automaton.class_of_V[id])
        if label not in steps[state]:
            return False
        state = steps[state][label]
    return bool(automaton.accepting_S[state])


class Walker:
    """Draws accepted strings: any token that leaves enough of the budget."""

    def __init__(self, automaton: TokenAutomaton) -> None:
        self._automaton = automaton
        self._steps = steps_of(automaton)
        self._distance = automaton.distance_S.tolist()
        ids = np.argsort(automaton.class_of_V, kind="stable")
        counts = np.bincount(automaton.class_of_V, minlength=automaton.classes)
        self._ids = [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]

    def walk(self, rng: random.Random, *, budget: int) -> list[int]:
        """Ids of one string of at most `budget` tokens."""
        state, ids = self._automaton.start, []
        assert self._distance[state] <= budget
        while True:
            left = budget - len(ids) - 1
            fit = [c for c, t in self._steps[state].items() if self._distance[t] <= left]
            if self._automaton.accepting_S[state] and (not fit or rng.random() < 0.2):
                return ids
            label = rng.choice(fit)
            ids.append(rng.choice(self._ids[label]))
            state = self._steps[state][label]
