"""One uniform number draws one token, with exactly the given probabilities."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.diffusion.candidate import block_width, blocks, inverse_cdf


def draw(p_BLV: Tensor, uniform_BL: Tensor) -> Tensor:
    return inverse_cdf(p_BLV, blocks(p_BLV).sum(dim=-1), uniform_BL)


vocabularies = st.sampled_from([1, 2, 7, 12, 36, 97])


@given(st.integers(1, 300_000))
def test_a_block_width_divides_the_vocabulary(vocabulary: int) -> None:
    width = block_width(vocabulary)
    assert vocabulary % width == 0
    assert width * width >= vocabulary


def test_the_vocabularies_in_use_fall_into_square_blocks() -> None:
    assert block_width(262_144) == 512
    assert block_width(2048) == 64


@given(vocabularies, st.integers(0, 2**31))
def test_it_is_the_inverse_of_the_cumulative_sum(vocabulary: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(3, 8, vocabulary, generator=generator).mul_(3).softmax(dim=-1)
    uniform = torch.rand(3, 8, generator=generator, dtype=torch.float64)
    drawn = draw(p, uniform)
    upper = p.double().cumsum(dim=-1) / p.double().sum(dim=-1, keepdim=True)
    place = upper.gather(-1, drawn[..., None])[..., 0]
    share = p.double().gather(-1, drawn[..., None])[..., 0]
    assert (uniform <= place + 1e-6).all()
    assert (uniform >= place - share - 1e-6).all()


@given(vocabularies, st.integers(0, 2**31))
def test_a_token_without_probability_is_never_drawn(vocabulary: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(1, 200, vocabulary, generator=generator)
    p *= torch.rand(p.shape, generator=generator) < 0.3
    p[..., int(torch.randint(vocabulary, (1,), generator=generator))] = 1e-30
    uniform = torch.rand(1, 200, generator=generator, dtype=torch.float64)
    uniform[0, :3] = torch.tensor([0.0, 1 - 2.0**-53, 0.5], dtype=torch.float64)
    drawn = draw(p, uniform)
    assert (p.gather(-1, drawn[..., None]) > 0).all()


def test_frequencies_are_the_probabilities() -> None:
    p = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125])
    uniform = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    drawn = draw(p.expand(1, 64, 6).contiguous(), uniform[None])
    assert torch.bincount(drawn[0]).tolist() == [32, 16, 8, 4, 2, 2]
