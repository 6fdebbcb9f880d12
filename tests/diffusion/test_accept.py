"""The surest positions are accepted, always at least one; and those that no longer change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.diffusion.accept import EntropyBound, Stable
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.view import Past, View
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


def steps(before: list[float], now: list[float], accepted: list[bool]) -> torch.Tensor:
    """What `Stable` accepts of positions whose likeliest of two tokens has these probabilities;
    the entropy bound takes the first one only."""

    def both(p: list[float]) -> torch.Tensor:
        return torch.tensor([[[share, 1 - share] for share in p]])

    entropy = torch.tensor([[0.0] + [5.0] * (len(now) - 1)])
    best = torch.zeros_like(entropy).long()
    past = Past(p=both(before), accepted=torch.tensor([accepted]))
    known = Statistics(p=both(now), share=entropy, entropy=entropy, best=best)
    rule = Stable(rule=EntropyBound(bound=0.1))
    # the second position costs 5 nats, but the bound looks at the sum before it
    now_view = View(step=2, known=known, best=best, past=past)
    assert rule.rule.accepted(now_view).tolist() == [[True, True] + [False] * (len(now) - 2)]
    return rule.accepted(now_view)[0]


def test_likely_and_unchanged_is_kept() -> None:
    before, now = [1.0, 1.0, 0.92, 0.92, 0.80, 0.5], [1.0, 1.0, 0.92, 0.89, 0.92, 0.92]
    # unchanged; too unlikely; changed a little too much; changed a lot
    assert steps(before, now, [True, True] + [False] * 4).tolist() == [
        *[True] * 3,
        *[False] * 3,
    ]


def test_what_was_accepted_stays_until_it_is_unlikely() -> None:
    now = [1.0, 1.0, 0.6, 0.49, 0.6]
    accepted = [True, True, True, True, False]
    assert steps(now, now, accepted).tolist() == [True, True, True, False, False]


def test_a_first_step_has_nothing_to_compare_with() -> None:
    entropy = torch.tensor([[0.5, 0.02, 0.06]])
    rule = EntropyBound(bound=0.01)
    assert torch.equal(Stable(rule=rule).accepted(view(entropy)), rule.accepted(view(entropy)))


@pytest.mark.parametrize(
    "wrong", [{"release": 0.95}, {"sure": 1.5}, {"release": 0.0}, {"shift": 0.0}]
)
def test_thresholds_of_stability_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Stable(**wrong)
