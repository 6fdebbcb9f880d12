"""The embedded model before training: its configuration, its first weights, its vocabulary."""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer
from torch import nn

from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.transformer import RMSNorm, Transformer
from canvaslm.tasks import get
from canvaslm.training.recipe import Recipe
from canvaslm.training.vocabulary import train_tokenizer


def pocket_config(recipe: Recipe, *, turn_id: int) -> ModelConfig:
    """DiffusionGemma in small: two sliding layers to each full one, 8 experts with 2 active.

    The sliding layers' RoPE base is 1709 rather than 10,000, which puts the second of the 16
    frequencies at one turn per 10 tokens: the pitch of a Sudoku row with its line end.
    """
    heads = recipe.hidden_size // 32
    sliding = LayerConfig(
        heads=heads,
        kv_heads=heads // 2,
        head_dim=32,
        window=512,
        rope=RopeConfig(theta=1709.0),
    )
    full = LayerConfig(
        heads=heads,
        kv_heads=1,
        head_dim=64,
        window=None,
        rope=RopeConfig(theta=1e6, kind="proportional", partial=0.25),
    )
    return ModelConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden_size,
        intermediate_size=2 * recipe.hidden_size,
        layers=tuple(full if i % 3 == 2 else sliding for i in range(recipe.num_layers)),
        experts=ExpertsConfig(count=8, top_k=2, intermediate_size=recipe.hidden_size // 2),
        max_positions=8192,
        eos_ids=(1, turn_id),
    )


@torch.no_grad()
def initialise(model: Transformer, *, seed: int) -> None:
    """First weights for training from scratch: unit-variance streams, mild attention, small writes."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config

    def normal(weight: torch.Tensor) -> None:
        std = 0.7 * weight.shape[-1] ** -0.5
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)

    model.embedding.copy_(
        torch.randn(model.embedding.shape, generator=generator) * config.hidden_size**-0.5
    )
    for module in model.modules():
        if isinstance(module, nn.Linear):
            normal(module.weight)
        elif isinstance(module, RMSNorm) and module.weight is not None:
            module.weight.fill_(1.0)
    for layer, shape in zip(model.layers, config.layers, strict=True):
        normal(layer.experts.gate_up)
        normal(layer.experts.down)
        for norm in (layer.attention.q_norm, layer.attention.k_norm):
            norm.weight.fill_(shape.head_dim**-0.25)
        for norm in (layer.attention_out, layer.feedforward_out):
            norm.weight.fill_((2 * len(config.layers)) ** -0.5)


def pocket_tokenizer(recipe: Recipe) -> Tokenizer:
    """A vocabulary learnt from the training split of the tasks, reproducible from the seed."""
    rng = random.Random(f"{recipe.seed}/vocabulary")
    texts = ["Solve this Sudoku:\n"] * 100
    for name, count in (("scenes", 3000), ("ask", 3000), ("json", 5000), ("code", 12000)):
        task = get(name)
        for _ in range(count):
            example = task.sample(rng, split="train")
            texts += [example.prompt, example.answer]
    return train_tokenizer(texts, vocab_size=recipe.vocab_size)
