"""Tiny models for the engine: one with ids only, one that reads and writes text."""

from pathlib import Path

import pytest
import torch

import canvaslm
from canvaslm import LM
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.settings import Settings
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

ROPE = RopeConfig(theta=1e4)
TINY = ModelConfig(
    vocab_size=300,
    hidden_size=24,
    intermediate_size=16,
    layers=(
        LayerConfig(heads=2, kv_heads=1, head_dim=8, window=9, rope=ROPE),
        LayerConfig(heads=2, kv_heads=1, head_dim=8, window=None, rope=ROPE),
    ),
    experts=ExpertsConfig(count=4, top_k=2, intermediate_size=8),
    canvas_length=16,
    max_positions=192,
)


def sharpen(model: Transformer) -> Transformer:
    """Weights of order 1, so that what the model sees decides what it says."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(50 * parameter.shape[-1] ** -0.5)
        model.embedding.mul_(3)
    return model


@pytest.fixture
def lm() -> LM:
    """Token ids only; no eos, so answers are as long as asked."""
    model = Transformer(TINY).eval()
    initialise(model, seed=1)
    settings = Settings(eos_ids=frozenset(), max_steps=6)
    return LM(sharpen(model), settings=settings)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights, a tokenizer, a chat template and its own settings."""
    tokenizer = train_tokenizer(["a square and a circle", "def f(x):"], vocab_size=300)
    return new_checkpoint(
        TINY,
        tmp_path_factory.mktemp("engine") / "tiny",
        dtype=torch.float32,
        generation={"max_denoising_steps": 5, "t_max": 0.7, "eos_token_id": [1, 6]},
        extra_files=tokenizer_files(tokenizer),
    )


@pytest.fixture
def talker(checkpoint: Path) -> LM:
    """The folder's model, loaded the way a person loads it."""
    lm = canvaslm.load(checkpoint, device="cpu", dtype="float32")
    sharpen(lm.model)
    return LM(lm.model, tokenizer=lm.tokenizer, settings=lm.settings)
