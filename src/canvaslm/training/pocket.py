"""The embedded model before training: its first weights, and what its vocabulary comes from."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from canvaslm.model.transformer import RMSNorm, Transformer
from canvaslm.tasks import get

VOCABULARY_SAMPLE = {"scenes": 3000, "ask": 3000, "json": 5000, "code": 12000}


@torch.no_grad()
def initialise_for_training(model: Transformer, *, seed: int) -> None:
    """First weights to learn from: unit-variance streams, mild attention, small writes.

    Scores are not divided by sqrt(head size), so q and k start small; what each layer adds starts
    at 1 / sqrt(2 layers), so the residual keeps its size.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config

    def normal(weight: Tensor, std: float) -> None:
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)

    normal(model.embedding, config.hidden_size**-0.5)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            normal(module.weight, 0.7 * module.in_features**-0.5)
        elif isinstance(module, RMSNorm):
            fill(module, 1.0)
    for layer, shape in zip(model.layers, config.layers, strict=True):
        if layer.router is not None:
            normal(layer.experts.gate_up, 0.7 * config.hidden_size**-0.5)
            normal(layer.experts.down, 0.7 * layer.experts.down.shape[-1] ** -0.5)
        fill(layer.attention.q_norm, shape.head_dim**-0.25)
        fill(layer.attention.k_norm, shape.head_dim**-0.25)
        fill(layer.attention_out, (2 * len(config.layers)) ** -0.5)
        fill(layer.feedforward_out, (2 * len(config.layers)) ** -0.5)


def fill(norm: RMSNorm, value: float) -> None:
    """Set a norm's weight, where it has one."""
    if norm.weight is not None:
        norm.weight.fill_(value)


def vocabulary_texts(seed: int) -> list[str]:
    """What the vocabulary is learnt from: the tasks' training split, the same for every machine
    with the same standard library."""
    rng = random.Random(f"{seed}/vocabulary")
    texts = ["Solve this Sudoku:\n"] * 100
    for name, count in VOCABULARY_SAMPLE.items():
        task = get(name)
        for _ in range(count):
            example = task.sample(rng, split="train")
            texts += [example.prompt, example.answer]
    return texts
