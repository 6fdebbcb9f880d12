"""Filters keep the likeliest tokens, and nothing else of the step changes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.diffusion.candidate import blocks
from canvaslm.diffusion.choose import Drawn, Filtered
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.statistics import statistics

V = 90


def probabilities(seed: int, *, sharpness: float = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(2, 6, V, generator=generator) * sharpness).softmax(dim=-1)


def plain(p_V: Tensor, top_k: int, top_p: float, min_p: float) -> set[int]:
    """The definition, token by token."""
    kept = set()
    for id, p in enumerate(p_V.tolist()):
        above = [q for q in p_V.tolist() if q > p]
        if len(above) < top_k and sum(above) < top_p and p >= min_p * max(p_V.tolist()):
            kept.add(id)
    return kept


@given(st.integers(0, 9), st.integers(1, V), st.floats(0.05, 0.99), st.floats(0, 0.9))
def test_what_passes_is_what_the_definition_says(
    seed: int, top_k: int, top_p: float, min_p: float
) -> None:
    p_BLV = probabilities(seed)
    kept_BLV, share_BLK = Filtered(top_k=top_k, top_p=top_p, min_p=min_p).keep(p_BLV)
    for p_V, kept_V in zip(p_BLV.flatten(0, 1), kept_BLV.flatten(0, 1), strict=True):
        passed = set(kept_V.nonzero()[:, 0].tolist())
        assert passed == plain(p_V, top_k, top_p, min_p)
        torch.testing.assert_close(kept_V, p_V.where(kept_V > 0, 0) / p_V[list(passed)].sum())
    torch.testing.assert_close(share_BLK, blocks(kept_BLV).sum(dim=-1))


def test_equally_likely_tokens_pass_together() -> None:
    p_V = torch.tensor([0.2, 0.3, 0.2, 0.2, 0.1])[None, None]
    assert Filtered(top_k=2).keep(p_V)[0].count_nonzero() == 4
    assert Filtered(top_p=0.4).keep(p_V)[0].count_nonzero() == 4


@pytest.mark.parametrize("idle", [Filtered(), Filtered(top_k=V), Filtered(top_p=1.0, min_p=0.0)])
def test_idle_filters_draw_what_no_filter_draws(idle: Filtered) -> None:
    draws = CounterDraws(
        seeds=[1, 2], length=6, rule=UniformNoise(vocab_size=V), device=torch.device("cpu")
    )
    known = statistics(probabilities(3).log())
    free, filtered = (
        rule.candidates(known, draws, [0, 1], canvas=0, step=1) for rule in (Drawn(), idle)
    )
    assert torch.equal(free, filtered)


@given(st.integers(0, 50))
def test_a_candidate_is_among_what_passes(seed: int) -> None:
    draws = CounterDraws(
        seeds=[seed, seed + 1],
        length=6,
        rule=UniformNoise(vocab_size=V),
        device=torch.device("cpu"),
    )
    known, rule = statistics(probabilities(seed).log()), Filtered(top_k=3, top_p=0.8)
    p_before = known.p.clone()
    drawn_BL = rule.candidates(known, draws, [0, 1], canvas=0, step=1)
    assert (rule.keep(known.p)[0].gather(-1, drawn_BL[..., None]) > 0).all()
    assert torch.equal(known.p, p_before)  # self-conditioning sees all of them


@pytest.mark.parametrize(
    "filters", [Filtered(min_p=0.0), Filtered(top_p=1.0), Filtered(top_k=V), Filtered(min_p=0.5)]
)
def test_a_floor_stands_at_every_position(filters: Filtered) -> None:
    assert filters.floor(probabilities(0)).shape == (2, 6, 1)
