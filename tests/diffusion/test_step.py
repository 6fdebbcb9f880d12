"""One step by hand: temperature, candidates, acceptance, fresh noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.step import Outcome, Sampler, Turn, take_step
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.diffusion.view import START

VOCABULARY, LENGTH = 5, 4


class Fixed:
    """Noise is always token 4; every candidate is the one named."""

    inverts = False

    def __init__(self, candidates: list[int]) -> None:
        self.tokens = torch.tensor([candidates])
        self.asked: list[tuple[int, int]] = []
        self.p: Tensor | None = None

    def noise(self, rows: Sequence[int], *, canvas: int, step: int) -> Tensor:
        self.asked.append((canvas, step))
        return torch.full((len(rows), LENGTH), 4)

    def candidates(
        self, rows: Sequence[int], known: Statistics, *, canvas: int, step: int
    ) -> Tensor:
        self.p = known.p.clone()
        return self.tokens


def step(logits: Tensor, draws: Fixed, *, number: int = 1) -> Outcome:
    sampler = Sampler(
        temperature=LinearTemperature(t_min=0.5, t_max=1.0, max_steps=2),
        accept=EntropyBound(bound=0.2),
    )
    turn = Turn(sampler=sampler, draws=draws, rows=[0], canvas=3, step=number, past=START)
    return take_step(logits, turn)


def sharp(*heights: float) -> Tensor:
    """A canvas whose position i has logit `heights[i]` at token i and 0 elsewhere."""
    logits = torch.zeros(1, LENGTH, VOCABULARY)
    for place, height in enumerate(heights):
        logits[0, place, place] = height
    return logits


def test_sure_positions_take_their_candidate_and_all_others_noise() -> None:
    outcome = step(sharp(20, 0, 20, 1), draws := Fixed([2, 1, 3, 0]))
    assert outcome.accepted.tolist() == [[True, False, True, True]]
    assert outcome.canvas.tolist() == [[2, 4, 3, 0]]  # the candidate, not the likeliest token
    assert outcome.best.tolist() == [[0, 0, 2, 3]]
    assert outcome.settled.tolist() == [False]
    assert draws.asked == [(3, 1)]


def test_the_temperature_is_that_of_the_steps_that_remain() -> None:
    logits = torch.randn(1, LENGTH, VOCABULARY, generator=torch.Generator().manual_seed(0))
    for number, temperature in ((1, 1.0), (2, 0.75)):
        draws = Fixed([0] * LENGTH)
        outcome = step(logits.clone(), draws, number=number)
        expected = (logits / temperature).softmax(dim=-1)
        torch.testing.assert_close(draws.p, expected)
        assert isinstance(outcome.known, Statistics)
        torch.testing.assert_close(outcome.known.p, expected)
        torch.testing.assert_close(outcome.entropy, -(expected * expected.log()).sum(dim=-1))
