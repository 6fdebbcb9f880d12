"""Training on rounded weights: the gradients of what they stand for, and nothing kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.adapter.conftest import trained
from tests.adapter.passes import answers, far
from tests.model.test_native import rounded
from torch import Tensor

from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.rounded import RoundedExperts, RoundedLinear, frozen, is_rounded, product
from canvaslm.adapter.wear import attach, wear, wearing
from canvaslm.engine.quantised.read import quantise_model
from canvaslm.kernels.weight import Weight
from canvaslm.model.transformer import Transformer
from canvaslm.quant.rounding import round_matrix
from canvaslm.quant.scheme import scheme_of


def saved_bytes(make: Callable[[], Tensor]) -> int:
    """What the way forward keeps for the way back."""
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        make()
    return kept


@pytest.mark.parametrize("format", ["int8", "int4", "mxfp4"])
def test_a_product_has_the_gradient_of_the_widened_weight(format: Any) -> None:
    torch.manual_seed(0)
    group = None if format == "int8" else 32
    weight, _ = round_matrix(torch.randn(48, 64), format, group=group)
    x, gradient = torch.randn(5, 64, requires_grad=True), torch.randn(5, 48)
    y = product(x, weight)
    y.backward(gradient)
    assert torch.equal(y, x @ weight.dequantised().T)
    torch.testing.assert_close(x.grad, gradient @ weight.dequantised())
    assert saved_bytes(lambda: product(x, weight)) == 0


def base(quant: str, dtype: torch.dtype) -> tuple[Transformer, Transformer]:
    """A frozen network of few bits, and a plain one that holds what it stands for."""
    plain = rounded("int8").plain
    state = quantise_model(plain, scheme_of(quant))
    network = frozen(plain.config, state, dtype=dtype)
    twin = Transformer(plain.config).eval()
    twin.load_state_dict({name: widened(state, name) for name in twin.state_dict()})
    return network, twin


def widened(state: Any, name: str) -> Tensor:
    """A parameter of the plain network; experts are stacked there."""
    if name.endswith("gate_up"):
        both = zip(*(state[name.replace("gate_up", part)] for part in ("gate", "up")), strict=True)
        return torch.stack([torch.cat([w.dequantised() for w in pair]) for pair in both])
    if name.endswith("experts.down"):
        return torch.stack([weight.dequantised() for weight in state[name]])
    found: Weight | Tensor = state[name]
    return found.dequantised() if isinstance(found, Weight) else found


@pytest.mark.parametrize("quant", ["int8", "int4", "mxfp4"])
def test_it_is_the_widened_network(quant: str) -> None:
    network, twin = base(quant, torch.float32)
    assert not [p for p in network.parameters() if p.requires_grad]
    assert isinstance(network.layers[0].attention.q, RoundedLinear)
    adapter = trained(network.config)
    with torch.no_grad():
        assert far(answers(network), answers(twin)) <= 1e-5
    grads = []
    for model in (network, twin):
        parameters = wear(model, adapter)
        sum(logits.square().mean() for logits in answers(model)).backward()  # type: ignore[union-attr]
        grads.append({name: p.grad for name, p in parameters.items()})
    for name, grad in grads[0].items():
        other = grads[1][name]
        assert grad is not None
        assert other is not None
        assert (grad - other).norm() <= 1e-4 * other.norm()


def test_an_adapter_learns_on_it_in_bfloat16() -> None:
    network, _ = base("int4", torch.bfloat16)
    parameters = attach(network, AdapterConfig(rank=4), seed=0)
    optimizer, losses = torch.optim.AdamW(parameters.values(), lr=3e-3), []
    for _ in range(8):
        loss = -answers(network, signal=False)[1].log_softmax(-1)[..., 3].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


@torch.no_grad()
def test_an_adapter_may_be_worn_to_be_looked_at() -> None:
    _, twin = base("int8", torch.float32)
    assert far(answers(wearing(twin, trained(twin.config))), answers(twin)) > 0.01


@pytest.mark.parametrize("quant", ["int8", "int4"])
def test_the_weights_move_with_the_network_and_keep_their_types(quant: str) -> None:
    network, _ = base(quant, torch.float32)
    before = weights_in(network)
    assert is_rounded(network)
    network.to("meta")
    after = weights_in(network)
    assert len(after) == len(before) > 0
    for old, new in zip(before, after, strict=True):
        assert new.data.device.type == "meta"
        assert (new.data.dtype, new.data.shape) == (old.data.dtype, old.data.shape)


def weights_in(network: Transformer) -> list[Weight]:
    """The rounded ones, of products and of experts."""
    found: list[Weight] = []
    for module in network.modules():
        if isinstance(module, RoundedLinear):
            found.append(module.weight)
        elif isinstance(module, RoundedExperts):
            found += [weight for part in module.parts for weight in part]
    return found
