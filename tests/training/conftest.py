"""A training run small enough for a test: two layers, two tasks that need no pool, few tokens."""

from pathlib import Path

import pytest
import torch

from canvaslm.tasks import get
from canvaslm.text.template import ChatTemplate
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.tasks import Corpus, Mixture, Tasks
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.recipe import Recipe
from canvaslm.training.start import Scratch
from canvaslm.training.vocabulary import CHAT_TEMPLATE, train_tokenizer

MIXTURES = (
    Mixture(tasks={"ask": 1.0}, documents=3, canvas_length=8, canvases=2),
    Mixture(tasks={"scenes": 1.0}, documents=2, canvas_length=24, wide_length=48, every=2),
)


def tiny_recipe(
    *,
    hidden_size: int = 64,
    num_layers: int = 3,
    decay: float = 0.3,
    mixtures: tuple[Mixture, ...] = MIXTURES,
    **changes: object,
) -> Recipe:
    settings: dict[str, object] = {
        "name": "tiny",
        "start": Scratch(hidden_size=hidden_size, num_layers=num_layers, vocab_size=400),
        "data": Tasks(mixtures=mixtures),
        "schedule": Trapezoid(warmup=2, decay=decay),
        "steps": 8,
        "save_every": 2,
    }
    return Recipe(**(settings | changes))  # type: ignore[arg-type]


def corpus(tokenizer: Tokenizer, *, seed: int = 0, mixture: Mixture | None = None) -> Corpus:
    tasks = Tasks(mixtures=MIXTURES if mixture is None else (mixture,))
    return Corpus(tasks, tokenizer, seed=seed)


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


@pytest.fixture
def folder(tmp_path: Path, tokenizer_files: dict[str, bytes]) -> Path:
    """A run's folder with its vocabulary, so that none has to be learnt from all tasks."""
    return with_vocabulary(tmp_path / "run", tokenizer_files)


@pytest.fixture
def other(tmp_path: Path, tokenizer_files: dict[str, bytes]) -> Path:
    """The folder of another run, to compare with."""
    return with_vocabulary(tmp_path / "other", tokenizer_files)


def with_vocabulary(out: Path, files: dict[str, bytes]) -> Path:
    out.mkdir()
    for name, content in files.items():
        (out / name).write_bytes(content)
    return out


@pytest.fixture(scope="session")
def tokenizer_files() -> dict[str, bytes]:
    from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

    texts = ["Draw: a large red circle at the top left.", "Is it? yes no", '<svg x="1">\n</svg>']
    return dict(tokenizer_files(train_tokenizer(texts, vocab_size=400)))
