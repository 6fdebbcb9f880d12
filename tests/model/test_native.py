"""The native network gives the numbers of the plain one, whoever computes."""

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.model.dense_attend import DensePrefix
from torch import Tensor

from canvaslm.kernels.choose import operations
from canvaslm.kernels.cpu.library import runnable
from canvaslm.kernels.ops import AttentionOperations
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.initialise import initialise
from canvaslm.model.native import Native
from canvaslm.model.network import Bend, Network
from canvaslm.model.transformer import Transformer
from canvaslm.model.weights import NetworkWeights, weights_of
from canvaslm.quant.rounding import round_matrix
from canvaslm.quant.scheme import RoundedFormat

VOCABULARY = 30
WHO = ["reference", *runnable()]


class AttendAll:
    """A canvas without a prefix, by attention operations: every query sees every key."""

    def __init__(self, kernels: AttentionOperations) -> None:
        self.kernels = kernels

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = [
            self.kernels.attend(q[row], [(k[row], v[row])]).transpose(0, 1) for row in range(len(q))
        ]
        return torch.stack(rows)


class Rounded(NamedTuple):
    """Weights of few bits, and a plain network that holds what they stand for."""

    config: ModelConfig
    weights: NetworkWeights
    plain: Transformer


@cache
def rounded(format: RoundedFormat) -> Rounded:
    rope = RopeConfig(theta=1e4)
    config = ModelConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        layers=tuple(
            LayerConfig(heads=2, kv_heads=1, head_dim=32, window=window, rope=rope)
            for window in (50, None)
        ),
        experts=ExpertsConfig(count=3, top_k=3, intermediate_size=64),
        canvas_length=6,
        max_positions=64,
    )
    plain = Transformer(config).eval()
    initialise(plain, seed=0)
    state: dict[str, Tensor | Weight | list[Weight]] = {}
    with torch.no_grad():
        for name, tensor in plain.state_dict().items():
            if tensor.dim() == 1 or "router" in name:
                state[name] = tensor
            elif tensor.dim() == 2:
                state[name] = round_in_place(tensor, "int8" if name == "embedding" else format)
            elif name.endswith("gate_up"):
                halves = [[round_in_place(w, format) for w in e.chunk(2)] for e in tensor]
                prefix = name.removesuffix("gate_up")
                state[f"{prefix}gate"], state[f"{prefix}up"] = map(list, zip(*halves, strict=True))
            else:
                state[name] = [round_in_place(w_NK, format) for w_NK in tensor]
    return Rounded(config, weights_of(config, state), plain)


def round_in_place(w_NK: Tensor, format: RoundedFormat) -> Weight:
    w_NK.mul_(50 * w_NK.shape[-1] ** -0.5)
    weight, _ = round_matrix(w_NK, format, group=None if format == "int8" else 32)
    w_NK.copy_(weight.dequantised())
    return weight


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


@pytest.mark.parametrize("who", WHO)
@given(networks(), st.integers(1, 3), st.booleans())
@torch.no_grad()
def test_it_equals_the_plain_network(
    who: str, model: Transformer, batch: int, signal: bool
) -> None:
    plain = answers(model, model, batch=batch, signal=signal)
    native = answers(model, Native.of(model, operations(who)), batch=batch, signal=signal)
    for ours, definition in zip(native, plain, strict=True):
        assert ours.shape == definition.shape
        assert (ours - definition).norm() <= 1e-4 * definition.norm()


@pytest.mark.parametrize("who", WHO)
@torch.no_grad()
def test_its_error_against_float64_is_no_larger(who: str, model: Transformer) -> None:
    model.embedding.div_(5)
    exact = answers(model.double(), model, batch=2, signal=False)
    model.float()
    for network in (Native.of(model, operations(who)), model):
        for ours, truth in zip(answers(model, network, batch=2, signal=False), exact, strict=True):
            assert (ours - truth).norm() <= 1e-5 * truth.norm()


@pytest.mark.parametrize("who", runnable())
@torch.no_grad()
def test_a_row_has_the_same_bits_in_any_company(who: str, model: Transformer) -> None:
    native = Native.of(model, operations(who))
    ids, soft = torch.randint(VOCABULARY, (5, 6)), torch.randn(5, 6, model.config.hidden_size)
    place = torch.arange(6).expand(5, -1)

    def hidden(rows: slice) -> Tensor:
        attend = AttendAll(operations(who))
        return native.denoise(ids[rows], soft[rows], place[rows], attend)

    whole = hidden(slice(None))
    for rows in (slice(0, 1), slice(2, 3), slice(1, 5)):
        assert torch.equal(hidden(rows), whole[rows])


@pytest.mark.parametrize("who", WHO)
@torch.no_grad()
def test_bfloat16_weights_are_read_as_they_are(who: str, model: Transformer) -> None:
    model.embedding.div_(5)
    model.bfloat16()
    native = Native.of(model, operations(who))
    assert native.dtype == torch.bfloat16
    assert native.embedding.data_ptr() == model.embedding.data_ptr()
    exact = answers(model.double(), model, batch=2, signal=False)
    for ours, truth in zip(answers(model, native, batch=2, signal=False), exact, strict=True):
        assert (ours - truth).norm() <= 0.03 * truth.norm()


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("format", ["int8", "int4", "mxfp4"])
@pytest.mark.parametrize("activations", [None, "bfloat16"])
@torch.no_grad()
def test_rounded_weights(who: str, format: Any, activations: Kind | None) -> None:
    model, _ = rounded(format), torch.manual_seed(0)
    network = Native(model.config, model.weights, operations(who), activations=activations)
    ids, place = torch.randint(VOCABULARY, (1, 20)), torch.arange(20)[None]
    soft = torch.randn(1, 20, 64)
    attend = AttendAll(operations("reference"))
    ours = network.denoise(ids, soft, place, attend)
    truth = model.plain.denoise(ids, soft, place, AttendAll(operations("reference")))
    allowed = 0.02 if activations else 0.1
    assert (ours - truth).norm() <= allowed * truth.norm()
    assert network.unembed(ours).shape == (1, 20, VOCABULARY)
    p_BLV = torch.rand(1, 20, VOCABULARY)
    assert (network.blend(p_BLV) - model.plain.blend(p_BLV)).norm() <= 1e-4 * ours.numel()
    near = model.plain.embedding.norm() * 0.01
    assert (network.embedding.float() - model.plain.embedding).norm() <= near


@pytest.mark.parametrize("who", WHO)
@torch.no_grad()
def test_the_head_believes_what_the_logits_say(who: str, model: Transformer) -> None:
    model.embedding.div_(5)
    head = Native.of(model, operations(who)).head
    hidden_BLD, uniform_BL = (
        torch.randn(3, 6, model.config.hidden_size),
        torch.rand(3, 6, dtype=torch.float64),
    )
    bias_V, pinned_L = torch.randn(model.config.vocab_size), torch.tensor([-1, 4, -1, -1, 7, -1])
    bend = Bend(bias=bias_V, pinned=pinned_L)
    for heat in (0.7, torch.tensor([0.7, 0.9, 0.7]).view(3, 1, 1)):
        belief = head.believe(
            hidden_BLD, temperature=heat, uniform_BL=uniform_BL, soft=True, bend=bend
        )
        z_BLV = (model.unembed(hidden_BLD) + bias_V) / heat
        held = pinned_L >= 0
        z_BLV[:, held] = -torch.inf
        z_BLV[:, held, pinned_L[held]] = 0
        assert torch.equal(belief.best, z_BLV.argmax(dim=-1))
        entropy = torch.distributions.Categorical(logits=z_BLV).entropy()
        torch.testing.assert_close(belief.entropy, entropy.masked_fill(held, 0))
        assert belief.drawn is not None
        assert belief.drawn[:, held].tolist() == [[4, 7]] * 3
        for rows in ([0, 1, 2], [2], [0, 2]):
            soft = head.soften(belief, rows)
            exact = model.soften(z_BLV[rows])
            assert (soft - exact).norm() <= 1e-3 * exact.norm()


@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_positions_that_change_are_noticed(model: Transformer, batch: int) -> None:
    native, ids = Native.of(model, operations()), torch.zeros(batch, 6, dtype=torch.long)
    for start in (0, 4, 0):
        place = start + torch.arange(6).expand(batch, -1)
        hidden = [
            network.encode(ids, place, DensePrefix(model.config).encode(place))
            for network in (native, model)
        ]
        torch.testing.assert_close(*hidden, rtol=1e-4, atol=1e-4)
