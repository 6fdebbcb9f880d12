"""A walk over several canvases, or token by token, always ends in a complete text in time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.control.constraint.automata import (
    allowed_texts,
    is_allowed,
    random_automaton,
    to_automaton,
)

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.constraint.walker import Walker
from canvaslm.control.pins import CanvasPins, Pins
from canvaslm.errors import ConstraintError, ParameterError

ENDS = frozenset({0, 4})
SEEDS = st.integers(0, 10_000)


def walker(rng: np.random.Generator, *, states: int = 12) -> tuple[Walker, TokenAutomaton]:
    """With room for a few tokens more than the least."""
    automaton = random_automaton(rng, states=states, size=9, ends=ENDS)
    least = int(automaton.distance_S[0])
    return Walker(automaton, end_ids=ENDS, room=least + int(rng.integers(1, 12))), automaton


def there_and_back() -> Walker:
    """Allows 2 3 2 3 ... and needs both tokens of a pair."""
    next_SV = np.full((2, 9), -1)
    next_SV[0, 2], next_SV[1, 3] = 1, 0
    automaton = to_automaton(next_SV, np.array([True, False]))
    assert automaton is not None
    return Walker(automaton, end_ids=ENDS, room=20)


@given(SEEDS, st.integers(1, 6), st.booleans())
def test_canvas_after_canvas_makes_a_complete_text(seed: int, length: int, likeliest: bool) -> None:
    rng = np.random.default_rng(seed)
    walk, automaton = walker(rng)
    room, said = walk.room, []
    while not walk.finished:
        z_LV = torch.from_numpy(rng.normal(size=(length, 9)) * 5).float()
        posterior = walk.posterior(z_LV)
        u = torch.from_numpy(rng.random((2, length)))
        canvas_L = posterior.best() if likeliest else posterior.draw(u[0], u[1])
        said += canvas_L.tolist()
        walk.commit(canvas_L.tolist())
    text = tuple(said[:room])
    assert is_allowed(automaton, text, ends=ENDS, state=0, room=room)
    ended = text[-1] in ENDS
    assert ended or len(text) == room


@given(SEEDS)
def test_two_canvases_allow_what_one_long_canvas_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk, automaton = walker(rng, states=4)
    room = walk.room
    ruled = {"ends": ENDS, "room": room, "state": 0, "pins": {}}
    halves = set()
    for first in allowed_texts(automaton, **ruled, length=1):
        later = Walker(automaton, end_ids=ENDS, room=room)
        later.commit(first)
        z_LV = torch.zeros(2, 9)
        later.posterior(z_LV)
        bound = min(2, later.room)
        choices = [z_LV[i].isfinite().nonzero()[:, 0].tolist() for i in range(bound)]
        halves |= {(*first, a) for a in choices[0]} if bound else {first}
    assert halves == {text[:2] for text in allowed_texts(automaton, **ruled, length=3)}


@given(SEEDS)
def test_token_after_token_the_mask_leaves_a_way_to_the_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk, automaton = walker(rng)
    room, said = walk.room, []
    while not walk.finished:
        allowed = walk.allowed().nonzero()[:, 0].tolist()
        one = allowed_texts(
            automaton,
            ends=ENDS,
            state=0,
            room=room,
            length=len(said) + 1,
            pins=dict(enumerate(said)),
        )
        assert allowed == [text[-1] for text in one]
        said.append(int(rng.choice(allowed)))
        walk.commit(said[-1:])
    assert said[-1] in ENDS or len(said) == room
    assert not walk.allowed().any() or set(walk.allowed().nonzero()[:, 0].tolist()) == ENDS


def test_too_little_room_is_refused_before_any_work() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        automaton = random_automaton(rng, states=12, size=9, ends=ENDS)
        least = int(automaton.distance_S[0])
        Walker(automaton, end_ids=ENDS, room=least)
        if least:
            with pytest.raises(ConstraintError, match=f"takes {least} tokens.* {least - 1} are"):
                Walker(automaton, end_ids=ENDS, room=least - 1)


def test_a_token_that_cannot_follow_is_refused_and_changes_nothing() -> None:
    walk, _ = walker(np.random.default_rng(0))
    state, room = walk.state, walk.room
    forbidden = int((~walk.allowed()).nonzero()[0, 0])
    with pytest.raises(ConstraintError, match=f"token {forbidden}|completing the text"):
        walk.commit([forbidden])
    assert (walk.state, walk.room) == (state, room)


def pinned(tokens: dict[int, int]) -> CanvasPins:
    pins = Pins(tokens=tokens).on_canvas(0, 4, torch.device("cpu"))
    assert pins is not None
    return pins


def test_pins_change_the_lattice_of_the_same_canvas() -> None:
    walk = there_and_back()
    free = [[0, 2, 4], [0, 3, 4], [0, 2, 4], [0, 3, 4]]
    ended = [[0, 2, 4], [0, 3, 4], [0], [0, 4]]
    whole = [[2], [3], [2], [3]]
    cases = [(None, free), (pinned({2: 0}), ended), (pinned({3: 3}), whole), (None, free)]
    for pins, expected in cases:
        z_LV = torch.zeros(4, 9)
        if pins is not None:
            pins.bend(z_LV)
        walk.posterior(z_LV, pins)
        allowed = [z_L.isfinite().nonzero()[:, 0].tolist() for z_L in z_LV]
        assert allowed == expected


@pytest.mark.parametrize(
    ("tokens", "place"), [({1: 2}, 1), ({2: 3}, 2), ({0: 0, 3: 3}, 3), ({0: 8, 1: 8}, 0)]
)
def test_contradictory_pins_name_the_first_position_where_nothing_is_left(
    tokens: dict[int, int], place: int
) -> None:
    with pytest.raises(ConstraintError, match=f"position {place} of the canvas"):
        there_and_back().posterior(torch.zeros(4, 9), pinned(tokens))


@pytest.mark.parametrize("ends", [set(), {9}, {-1}])
def test_end_tokens_lie_in_the_vocabulary(ends: set[int]) -> None:
    automaton = random_automaton(np.random.default_rng(0), states=3, size=9, ends=ENDS)
    with pytest.raises(ParameterError, match="end_ids"):
        Walker(automaton, end_ids=frozenset(ends), room=9)
