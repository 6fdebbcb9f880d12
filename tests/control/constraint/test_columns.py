"""Weights, shifts, draws and the likeliest by class equal the plain formulas, at every size."""

import math

import numpy as np
import torch

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.constraint.columns import SPLIT, columns
from canvaslm.control.constraint.machine import Machine, complete

CPU = torch.device("cpu")
V = 5 * SPLIT


def machine() -> Machine:
    """Classes of 1, 1, 2, 300 and more than SPLIT tokens, scattered; the rest is not allowed."""
    sizes = [1, 1, 2, 300, 2 * SPLIT + 7]
    kinds = np.repeat(np.arange(1, 6), sizes)
    class_of_V = np.append(kinds, np.zeros(V - len(kinds))).astype(np.int32)
    class_of_V = np.random.default_rng(0).permutation(class_of_V)
    class_of_V[[3, 9]] = 0
    automaton = TokenAutomaton(
        class_of_V=class_of_V,
        classes=6,
        source_E=np.zeros(5, np.int32),
        label_E=np.arange(1, 6, dtype=np.int32),
        target_E=np.zeros(5, np.int32),
        accepting_S=np.array([True]),
        distance_S=np.array([0], np.int32),
    )
    return complete(automaton, frozenset({3, 9}))


def logits(*, length: int = 12, scale: float = 60) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(length, V, generator=generator) * scale


def test_weights_are_log_sums_even_where_probabilities_underflow() -> None:
    rules, z_LV = machine(), logits()
    z_LV[3] -= 1e4
    z_LV[4, rules.class_of_V == 4] = -math.inf
    mass_LC, peak_LC = columns(rules, CPU).weigh(z_LV)
    for label in range(1, rules.classes):
        picked = z_LV[:, rules.class_of_V == label]
        expected = picked.double().logsumexp(dim=1).numpy()
        np.testing.assert_allclose(mass_LC[:, label], expected, rtol=2e-7)
        assert (peak_LC[:, label] == picked.amax(dim=1).numpy()).all()
    assert (mass_LC[:, 0] == -math.inf).all()


def test_every_logit_moves_by_the_shift_of_its_class() -> None:
    rules, z_LV = machine(), logits()
    shift_LC = np.random.default_rng(2).normal(size=(len(z_LV), rules.classes))
    expected_LV = z_LV + torch.from_numpy(shift_LC).float()[:, rules.class_of_V]
    expected_LV[:, rules.class_of_V == 0] = -math.inf
    columns(rules, CPU).shift(z_LV, shift_LC)
    assert torch.equal(z_LV, expected_LV)


def test_the_likeliest_and_the_drawn_token_belong_to_their_class() -> None:
    rules, z_LV = machine(), logits(scale=2).round()  # many are equal
    label_L = np.array([1, 5, 5, 2, 3, 4, 5, 6, 4, 7, 5, 7])
    view = columns(rules, CPU)
    members = [np.flatnonzero((rules.class_of_V == c) | (c == rules.classes)) for c in label_L]
    peak_L = np.array([z_L[ids].max() for z_L, ids in zip(z_LV, members, strict=True)])
    best_L = view.best(z_LV, label_L, peak_L)
    p_LV = z_LV.softmax(dim=-1)
    uniform_L = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    drawn_L = view.draw(z_LV, label_L, uniform_L)
    for i, ids in enumerate(members):
        assert best_L[i] == ids[z_LV[i, ids].argmax()]
        upper_W = p_LV[i, ids].double().cumsum(dim=0)
        place = int(torch.searchsorted(upper_W, uniform_L[i] * upper_W[-1], right=True))
        assert abs(ids.tolist().index(int(drawn_L[i])) - place) <= 1  # sums in another order
