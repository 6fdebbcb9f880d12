"""A lattice holds the edges of allowed texts, all of them and no others."""

import numpy as np
from tests.control.constraint.automata import allowed_texts, random_automaton

from canvaslm.control.constraint.lattice import build_lattice
from canvaslm.control.constraint.machine import complete

ENDS = frozenset({1})


def test_its_paths_are_the_allowed_texts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        automaton = random_automaton(rng, states=5, size=5, ends=ENDS)
        room = int(automaton.distance_S[0]) + int(rng.integers(1, 4))
        machine = complete(automaton, ENDS)
        lattice = build_lattice(machine, state=0, room=room, length=4, pins={})
        texts = allowed_texts(automaton, ends=ENDS, state=0, room=room, length=4, pins={})
        paths = {(0, ())}
        for layer in lattice.layers:
            edges = list(zip(layer.source_E, layer.target_E, layer.label_E, strict=True))
            paths = {
                (target, (*labels, label))
                for state, labels in paths
                for source, target, label in edges
                if source == state
            }
        assert {labels for _, labels in paths} == {
            tuple(machine.class_of_V[list(text)].tolist()) for text in texts
        }


def test_no_state_is_a_dead_end() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        automaton = random_automaton(rng, states=9, size=5, ends=ENDS)
        room = int(automaton.distance_S[0]) + 5
        lattice = build_lattice(complete(automaton, ENDS), state=0, room=room, length=8, pins={})
        assert lattice.layers[0].states == 1
        after = [layer.states for layer in lattice.layers[1:]] + [lattice.ends]
        for layer, states in zip(lattice.layers, after, strict=True):
            assert (np.diff(layer.first_N) > 0).all()
            assert (layer.source_E == np.repeat(range(layer.states), np.diff(layer.first_N))).all()
            assert layer.target_E.max() < states


def test_positions_of_one_shape_share_their_layer() -> None:
    """Memory does not grow with the canvas where the language repeats itself."""
    automaton = random_automaton(np.random.default_rng(2), states=3, size=4, ends=ENDS)
    lattice = build_lattice(complete(automaton, ENDS), state=0, room=999, length=200, pins={})
    assert len(set(map(id, lattice.layers))) < 30
