import itertools

import numpy as np
import pytest

from canvaslm.control.language.dfa import Dfa, product

WORDS = [word for n in range(7) for word in itertools.product(range(2), repeat=n)]


def _random_dfa(rng: np.random.Generator) -> Dfa:
    states = int(rng.integers(1, 7))
    return Dfa(rng.integers(-1, states, (states, 2)).astype(np.int32), rng.random(states) < 0.4)


def _language(dfa: Dfa | None) -> set[tuple[int, ...]]:
    return set() if dfa is None else {word for word in WORDS if dfa.accepts(word)}


@pytest.mark.parametrize("seed", range(40))
def test_the_smallest_automaton_has_the_same_language_and_no_two_like_states(seed: int) -> None:
    dfa = _random_dfa(np.random.default_rng(seed))
    small = dfa.minimised()
    assert _language(small) == _language(dfa)
    if small is not None:
        shifted = [_language(_started_at(small, state)) for state in range(small.states)]
        assert len({frozenset(language) for language in shifted}) == small.states
        assert all(shifted)


def _started_at(dfa: Dfa, state: int) -> Dfa:
    order = np.roll(np.arange(dfa.states), -state)
    number = np.append(np.argsort(order), -1).astype(np.int32)
    return Dfa(number[dfa.next_SK[order]], dfa.accepting_S[order])


@pytest.mark.parametrize("seed", range(40))
def test_products_are_intersection_and_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = _random_dfa(rng), _random_dfa(rng)
    assert _language(product(left, right, without=False)) == _language(left) & _language(right)
    assert _language(product(left, right, without=True)) == _language(left) - _language(right)


def test_a_long_chain_is_minimised() -> None:
    length = 500
    tail = np.append(np.arange(1, length), -1)
    nodes = np.stack([tail, tail], axis=1).astype(np.int32)
    small = Dfa(nodes, np.ones(length, np.bool_)).minimised()
    assert small is not None
    assert small.states == length
