"""A corrector takes back accepted positions, by chance or the least certain, and no others."""

import pytest
import torch

from canvaslm.diffusion.correct import Doubtful, Renoise
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError


def view(entropy: torch.Tensor, open: torch.Tensor | None = None) -> View:
    best = torch.zeros_like(entropy).long()
    return View(step=1, known=Statistics(entropy, entropy, entropy, best), best=best, open=open)


def test_chance_takes_its_rate() -> None:
    accepted = torch.tensor([[True, True, False, True]])
    uniform = torch.tensor([[0.01, 0.2, 0.9, 0.19]])
    kept = Renoise(rate=0.2).kept(view(torch.zeros(1, 4)), accepted, uniform)
    assert kept.tolist() == [[False, True, False, False]]


def test_the_least_certain_go_in_each_row() -> None:
    entropy = torch.tensor([[0.1, 0.5, 0.2, 0.9], [0.4, 0.3, 0.2, 0.1]])
    accepted = torch.tensor([[True, True, True, False], [True, True, True, True]])
    kept = Doubtful(share=0.5).kept(view(entropy), accepted, entropy)
    assert kept.tolist() == [[True, False, True, False], [False, False, True, True]]


def test_what_does_not_count_stays() -> None:
    entropy = torch.tensor([[0.9, 0.1, 0.2]])
    open = torch.tensor([[False, True, True]])
    kept = Doubtful(share=0.5).kept(view(entropy, open), torch.ones(1, 3).bool(), entropy)
    assert kept.tolist() == [[True, True, False]]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan")])
def test_shares_are_between_0_and_1(value: float) -> None:
    with pytest.raises(ParameterError, match="rate"):
        Renoise(rate=value)
    with pytest.raises(ParameterError, match="share"):
        Doubtful(share=value)
