"""A tiny model with random weights that reads and writes text."""

from pathlib import Path

import pytest
import torch
from tests.engine.conftest import TINY

import canvaslm
from canvaslm import LM
from canvaslm.engine.create import new_checkpoint
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer


@pytest.fixture(scope="session")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder: canvases of 16 tokens, a context of 192."""
    tokenizer = train_tokenizer(["a square and a circle", "def f(x):"], vocab_size=300)
    return new_checkpoint(
        TINY,
        tmp_path_factory.mktemp("eval") / "tiny",
        dtype=torch.float32,
        generation={"max_denoising_steps": 5, "eos_token_id": [1, 6]},
        extra_files=tokenizer_files(tokenizer),
    )


@pytest.fixture(scope="session")
def babble(babbler: Path) -> LM:
    return canvaslm.load(babbler)
