"""Probabilities, entropy and the likeliest token, against float64."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.diffusion.candidate import blocks
from canvaslm.diffusion.statistics import statistics


@given(st.sampled_from([2, 7, 36, 97, 2048]), st.sampled_from([0.1, 3.0, 40.0]), st.integers(0, 99))
def test_they_equal_float64(vocabulary: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = (scale * torch.randn(2, 5, vocabulary, generator=generator)).clamp(-75, 75)
    y = z.double().log_softmax(dim=-1)
    known = statistics(z.clone())
    torch.testing.assert_close(known.p.double(), y.exp(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(known.entropy.double(), -(y * y.exp()).sum(-1), rtol=1e-5, atol=5e-7)
    assert torch.equal(known.best, z.argmax(dim=-1))
    share = blocks(y.exp()).sum(dim=-1)
    torch.testing.assert_close(known.share.double(), share, rtol=1e-5, atol=1e-7)


def test_a_tiny_entropy_is_not_lost_beside_large_logits() -> None:
    """log-sum-exp minus the mean of z would be off by 4e-6 here, more than the entropy itself."""
    z = torch.full((1, 1, 64), -15.0)
    z[0, 0, 3] = 75.0
    z[0, 0, 4] = 58.0
    y = z.double().log_softmax(dim=-1)
    exact = float(-(y * y.exp()).sum())
    assert exact < 1e-6
    assert abs(float(statistics(z.clone()).entropy) - exact) < 2e-7


def test_of_equal_logits_the_first_is_the_likeliest() -> None:
    z = torch.zeros(1, 1, 36)
    assert statistics(z.clone()).best.tolist() == [[0]]
    z[0, 0, [7, 8, 30]] = 2.0
    assert statistics(z).best.tolist() == [[7]]
