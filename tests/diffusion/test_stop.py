"""A canvas has settled when it is stable and confident, and not before."""

import pytest
import torch

from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.view import Past, View
from canvaslm.errors import ParameterError

A, B = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 4]])
SURE, UNSURE = torch.full((1, 3), 0.001), torch.tensor([[0.0, 0.0, 0.02]])


def view(best: torch.Tensor, entropy: torch.Tensor, earlier: list[torch.Tensor]) -> View:
    known = Statistics(p=entropy, share=entropy, entropy=entropy, best=best)
    return View(step=1, known=known, best=best, past=Past(best=tuple(earlier)))


@pytest.mark.parametrize(
    ("stability", "earlier", "settled"),
    [
        (0, [], True),
        (0, [B], True),
        (1, [], False),
        (1, [A], True),
        (1, [B], False),
        (1, [B, A], True),
        (2, [A], False),
        (2, [A, A], True),
        (2, [A, B], False),
        (2, [B, A], False),
    ],
)
def test_stability_asks_for_so_many_equal_steps(
    stability: int, earlier: list[torch.Tensor], settled: bool
) -> None:
    rule = StableAndConfident(stability=stability)
    assert rule.settled(view(A, SURE, earlier)).tolist() == [settled]
    assert rule.settled(view(A, UNSURE, earlier)).tolist() == [False]


def test_the_mean_decides_not_the_worst() -> None:
    doubt = torch.tensor([[0.0, 0.0, 0.014]])
    assert StableAndConfident().settled(view(A, doubt, [A])).tolist() == [True]


def test_every_row_is_judged_for_itself() -> None:
    best = torch.cat((A, A, B))
    before = torch.cat((A, B, B))
    doubt = torch.cat((SURE, SURE, UNSURE))
    assert StableAndConfident().settled(view(best, doubt, [before])).tolist() == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("wrong", [{"stability": -1}, {"confidence": 0}])
def test_thresholds_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        StableAndConfident(**wrong)
