"""Noise is uniform over the vocabulary and never outside it."""

import pytest
import torch

from canvaslm.diffusion.noise import UniformNoise
from canvaslm.errors import ParameterError


@pytest.mark.parametrize("vocabulary", [1, 3, 2048, 262_144])
def test_every_number_gives_a_token(vocabulary: int) -> None:
    ends = torch.tensor([[0.0, 0.5, 1 - 2.0**-53]], dtype=torch.float64)
    tokens = UniformNoise(vocab_size=vocabulary).tokens(ends)
    assert tokens.tolist() == [[0, vocabulary // 2, vocabulary - 1]]
    assert tokens.dtype == torch.int64


def test_every_token_has_the_same_share() -> None:
    numbers = (torch.arange(3000, dtype=torch.float64) + 0.5) / 3000
    tokens = UniformNoise(vocab_size=30).tokens(numbers[None])
    assert torch.bincount(tokens[0]).tolist() == [100] * 30


def test_an_empty_vocabulary_is_refused() -> None:
    with pytest.raises(ParameterError, match="vocab_size"):
        UniformNoise(vocab_size=0)
