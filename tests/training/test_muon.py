"""Muon makes updates orthogonal, and descends."""

import torch

from canvaslm.training.optimise.muon import Muon, orthogonalise


def test_singular_values_come_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 16), (8, 40), (40, 8), (3, 24, 12)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_a_stack_is_treated_as_its_matrices() -> None:
    stack = torch.randn(4, 6, 10)
    alone = torch.stack([orthogonalise(matrix) for matrix in stack])
    torch.testing.assert_close(orthogonalise(stack), alone)


def test_it_descends() -> None:
    torch.manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(12, 8))
    target, optimiser = torch.randn(12, 8), Muon([weight], lr=0.05)
    before = float((weight - target).square().mean().detach())
    for _ in range(200):
        optimiser.zero_grad()
        (weight - target).square().mean().backward()
        optimiser.step()
    assert float((weight - target).square().mean().detach()) < 0.05 * before
