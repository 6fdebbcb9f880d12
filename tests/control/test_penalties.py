"""Penalties follow their definition and grow with what stands in the answer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.control.penalties import Penalties
from canvaslm.diffusion.statistics import Statistics, statistics

V = 12


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


def apply(penalties: Penalties, said: list[int], before: Statistics | None) -> Tensor:
    logits_LV = draw(5, V)
    penalties.apply(logits_LV, said, before)
    return logits_LV


@given(st.lists(st.integers(0, V - 1), max_size=9))
def test_they_are_the_usual_ones_left_to_right(said: list[int]) -> None:
    logits_V = draw(1, V)[0]
    expected = logits_V.clone()
    for id in set(said):
        expected[id] = expected[id] / 1.5 if expected[id] > 0 else expected[id] * 1.5
        expected[id] -= 0.5 * said.count(id) + 0.25
    Penalties(repetition=1.5, presence=0.25, frequency=0.5).apply(logits_V[None], said, None)
    torch.testing.assert_close(logits_V, expected)


def test_a_canvas_counts_the_other_positions_as_they_are_expected() -> None:
    before = statistics(draw(1, 5, V, seed=1))
    p_LV = before.p[0].clone()
    changed = apply(Penalties(frequency=2.0), [3, 3], before) - draw(5, V)
    for place in range(5):
        n_V = p_LV.sum(dim=0) - p_LV[place]
        n_V[3] += 2
        torch.testing.assert_close(changed[place], -2 * n_V, rtol=1e-4, atol=1e-5)
    assert torch.equal(before.p[0], p_LV)


@pytest.mark.parametrize("kind", ["repetition", "presence", "frequency"])
@given(st.lists(st.integers(0, V - 1), max_size=6), st.floats(1.1, 2), st.integers(0, 3))
def test_a_higher_penalty_never_helps_what_was_said(
    kind: str, said: list[int], value: float, seed: int
) -> None:
    before = statistics(draw(1, 5, V, seed=seed))
    mild, harsh = (apply(Penalties(**{kind: v}), said, before) for v in (value, value + 0.5))
    assert (harsh <= mild + 1e-5).all()
    for id in set(said):
        assert (apply(Penalties(**{kind: value}), said, before) < draw(5, V))[:, id].all()


def test_exempt_tokens_stay_as_they_are() -> None:
    before = statistics(draw(1, 5, V, seed=1))
    penalties = Penalties(repetition=2, presence=1, frequency=1).without(frozenset({3, 7}))
    changed = apply(penalties, [3, 7, 4], before) != draw(5, V)
    assert not changed[:, [3, 7]].any()
    assert changed[:, 4].all()
