"""A small network of each kind, initialised."""

from dataclasses import replace

import pytest
import torch

from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer

LOCAL = RopeConfig(theta=1e4)
GLOBAL = RopeConfig(theta=1e6, kind="proportional", partial=0.5)
SMALL = ModelConfig(
    vocab_size=32,
    hidden_size=24,
    intermediate_size=16,
    layers=(
        LayerConfig(heads=4, kv_heads=2, head_dim=4, window=4, rope=LOCAL),
        LayerConfig(heads=4, kv_heads=1, head_dim=8, window=None, rope=GLOBAL),
    ),
    experts=ExpertsConfig(count=4, top_k=2, intermediate_size=8),
    canvas_length=6,
    max_positions=64,
)


@pytest.fixture(params=["mixture", "dense"])
def model(request: pytest.FixtureRequest) -> Transformer:
    config = SMALL if request.param == "mixture" else replace(SMALL, experts=None)
    network = Transformer(config).eval()
    initialise(network, seed=5)
    with torch.no_grad():  # logits of order 1, and two scalars that differ
        network.embedding.mul_(20)
        for layer in network.layers:
            layer.encode_scalar.fill_(0.7)
    return network
