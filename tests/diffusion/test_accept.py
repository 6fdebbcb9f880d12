"""The entropy bound accepts the surest positions, and always at least one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError


def view(entropy: torch.Tensor) -> View:
    best = torch.zeros_like(entropy).long()
    return View(step=1, known=Statistics(entropy, entropy, entropy, best), best=best)


def test_a_case_by_hand() -> None:
    entropy = torch.tensor([[0.5, 0.02, 0.06, 0.03, 0.04]])
    # ascending: .02 .03 .04 .06 .5; the sums before each: 0 .02 .05 .09 .15
    accepted = EntropyBound(bound=0.1).accepted(view(entropy))
    assert accepted.tolist() == [[False, True, True, True, True]]
    assert EntropyBound(bound=0.03).accepted(view(entropy)).tolist() == [
        [False, True, False, True, False]
    ]


def test_a_canvas_of_doubt_still_moves() -> None:
    accepted = EntropyBound(bound=1e-6).accepted(view(torch.tensor([[7.0, 6.9, 7.1]])))
    assert accepted.tolist() == [[False, True, False]]


def test_equal_doubt_is_taken_from_left_to_right() -> None:
    accepted = EntropyBound(bound=0.1).accepted(view(torch.full((2, 6), 0.04)))
    assert accepted.tolist() == [[True, True, True, False, False, False]] * 2


@given(st.lists(st.floats(0, 8, width=32), min_size=1, max_size=30), st.floats(0.01, 20))
def test_accepted_positions_are_the_surest_and_within_the_bound(
    entropies: list[float], bound: float
) -> None:
    entropy = torch.tensor([entropies], dtype=torch.float64)
    accepted = EntropyBound(bound=bound).accepted(view(entropy))[0]
    inside, outside = entropy[0][accepted], entropy[0][~accepted]
    assert len(inside) >= 1
    assert inside.sum() - inside.max() <= bound + 1e-9
    if len(outside):
        assert inside.max() <= outside.min()
        assert inside.sum() > bound - 1e-9


@pytest.mark.parametrize("bound", [0, -1.0, float("nan")])
def test_a_bound_is_positive(bound: float) -> None:
    with pytest.raises(ParameterError, match="entropy_bound"):
        EntropyBound(bound=bound)
