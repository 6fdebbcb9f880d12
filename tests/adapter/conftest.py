"""Adapters that change much, on small networks of each kind."""

from dataclasses import replace

import pytest
import torch
from tests.model.conftest import SMALL

from canvaslm.adapter.adapter import Adapter, Pair, new_adapter, target_of
from canvaslm.adapter.config import TARGETS, AdapterConfig, Target
from canvaslm.model.config import ModelConfig
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer


def targets_of(config: ModelConfig) -> tuple[Target, ...]:
    """All that the network has."""
    layers = range(len(config.layers))
    absent = {"router.proj"} if config.experts is None else set()
    if not any(config.layers[layer].sliding for layer in layers):
        absent.add("attention.v")
    return tuple(target for target in TARGETS if target not in absent)


def trained(
    config: ModelConfig, *, rank: int = 3, seed: int = 0, rslora: bool = False, size: float = 0.3
) -> Adapter:
    """An adapter on everything, with numbers that matter; nothing is zero."""
    made = new_adapter(
        AdapterConfig(rank=rank, alpha=5, rslora=rslora, targets=targets_of(config)),
        config,
        seed=seed,
        base="owner/tiny",
    )
    generator = torch.Generator().manual_seed(seed)
    pairs = {
        name: Pair(pair.a, size * torch.randn(pair.b.shape, generator=generator))
        for name, pair in made.pairs.items()
    }
    return replace(made, pairs=pairs)


def only(adapter: Adapter, *targets: str) -> Adapter:
    """What it does to these kinds of matrices."""
    pairs = {name: pair for name, pair in adapter.pairs.items() if target_of(name) in targets}
    return replace(adapter, pairs=pairs, config=replace(adapter.config, targets=targets))


def merged_into(model: Transformer, adapter: Adapter) -> Transformer:
    """The definition: another network, with W + scale B A."""
    twin = Transformer(model.config).eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, pair in adapter.pairs.items():
        state[f"{name}.weight"] += adapter.config.scale * pair.product()
    twin.load_state_dict(state)
    return twin


@pytest.fixture(params=["mixture", "dense"])
def model(request: pytest.FixtureRequest) -> Transformer:
    config = SMALL if request.param == "mixture" else replace(SMALL, experts=None)
    network = Transformer(config).eval()
    initialise(network, seed=5)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dim() > 1:
                tensor.mul_(50 * tensor.shape[-1] ** -0.5)
        for layer in network.layers:
            layer.encode_scalar.fill_(0.7)
    return network
