"""The fused network gives the numbers of the plain one."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.model.dense_attend import DensePrefix
from torch import Tensor

from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.fused import Fused
from canvaslm.model.initialise import initialise
from canvaslm.model.network import Network
from canvaslm.model.transformer import Transformer

VOCABULARY = 30


@st.composite
def networks(draw: st.DrawFn) -> Transformer:
    """Any geometry; weights that leave nothing at 0 or 1, so nothing can hide."""
    heads, kv_heads = draw(st.sampled_from([(1, 1), (4, 2), (6, 3), (4, 1)]))
    ropes = [RopeConfig(theta=1e4), RopeConfig(theta=1e6, kind="proportional", partial=0.5)]
    layers = tuple(
        LayerConfig(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=draw(st.sampled_from([4, 8])),
            window=draw(st.sampled_from([None, 3, 50])),
            rope=draw(st.sampled_from(ropes)),
        )
        for _ in range(draw(st.integers(1, 3)))
    )
    count = draw(st.integers(1, 5))
    top_k = draw(st.integers(1, count))
    experts = ExpertsConfig(count=count, top_k=top_k, intermediate_size=8)
    config = ModelConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        intermediate_size=16,
        layers=layers,
        experts=draw(st.sampled_from([experts, None])),
        softcap=draw(st.sampled_from([30.0, None])),
        canvas_length=6,
        max_positions=64,
    )
    model = Transformer(config).eval()
    initialise(model, seed=0)
    torch.manual_seed(draw(st.integers(0, 99)))
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.dim() > 1:
                tensor.mul_(50 * tensor.shape[-1] ** -0.5)
            else:
                tensor.add_(0.3 * torch.randn(tensor.shape))
    return model


def answers(model: Transformer, network: Network, *, batch: int, signal: bool) -> list[Tensor]:
    """Prompt logits, then canvas logits, then the soft embedding of those."""
    generator = torch.Generator().manual_seed(batch)
    ids = torch.randint(VOCABULARY, (batch, 9), generator=generator)
    canvas = torch.randint(VOCABULARY, (batch, 6), generator=generator)
    soft = torch.randn(batch, 6, 24, generator=generator) if signal else None
    place, prefix = torch.arange(9).expand(batch, -1), DensePrefix(model.config)
    attend = prefix.denoise(torch.full((batch,), 9))
    causal = network.unembed(network.encode(ids, place, prefix.encode(place)))
    positions = 9 + torch.arange(6).expand(batch, -1)
    logits = network.unembed(network.denoise(canvas, soft, positions, attend))
    return [causal, logits, network.blend(logits.softmax(dim=-1))]


@given(networks(), st.integers(1, 3), st.booleans())
@torch.no_grad()
def test_it_equals_the_plain_network(model: Transformer, batch: int, signal: bool) -> None:
    plain = answers(model, model, batch=batch, signal=signal)
    fused = answers(model, Fused(model), batch=batch, signal=signal)
    for ours, definition in zip(fused, plain, strict=True):
        assert ours.shape == definition.shape
        assert (ours - definition).norm() <= 1e-4 * definition.norm()


@torch.no_grad()
def test_its_error_against_float64_is_no_larger(model: Transformer) -> None:
    model.embedding.div_(5)
    exact = answers(model.double(), model, batch=2, signal=False)
    model.float()
    for make in (Fused, lambda plain: plain):
        network: Callable[[Transformer], Network] = make
        for ours, truth in zip(
            answers(model, network(model), batch=2, signal=False), exact, strict=True
        ):
            assert (ours - truth).norm() <= 1e-5 * truth.norm()


@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_positions_that_change_are_noticed(model: Transformer, batch: int) -> None:
    fused, ids = Fused(model), torch.zeros(batch, 6, dtype=torch.long)
    for start in (0, 4, 0):
        place = start + torch.arange(6).expand(batch, -1)
        hidden = [
            network.encode(ids, place, DensePrefix(model.config).encode(place))
            for network in (fused, model)
        ]
        torch.testing.assert_close(*hidden, rtol=1e-4, atol=1e-4)
