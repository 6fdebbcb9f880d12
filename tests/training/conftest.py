"""A training run small enough for a test: two layers, two tasks that need no pool, few tokens."""

import pytest
import torch

from canvaslm.tasks import get
from canvaslm.text.template import ChatTemplate
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.recipe import Mixture, Recipe
from canvaslm.training.vocabulary import CHAT_TEMPLATE, train_tokenizer


def tiny_recipe(**changes: object) -> Recipe:
    settings: dict[str, object] = {
        "name": "tiny",
        "hidden_size": 64,
        "num_layers": 3,
        "vocab_size": 400,
        "steps": 8,
        "warmup": 2,
        "save_every": 2,
        "mixtures": (
            Mixture(tasks={"ask": 1.0}, documents=3, canvas_length=8, canvases=2),
            Mixture(tasks={"scenes": 1.0}, documents=2, canvas_length=24, wide_length=48, every=2),
        ),
    }
    return Recipe(**(settings | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    import random

    rng = random.Random(0)
    texts = []
    for name in ("ask", "scenes"):
        for _ in range(200):
            example = get(name).sample(rng, split="train")
            texts += [example.prompt, example.answer]
    backend = train_tokenizer(texts, vocab_size=400)
    return Tokenizer(backend, template=ChatTemplate(CHAT_TEMPLATE))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
