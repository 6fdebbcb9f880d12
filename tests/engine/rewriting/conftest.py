"""A tiny model with random weights that rewrites: whatever it says is noise."""

from pathlib import Path

import pytest
from tests.engine.conftest import sharpen

import canvaslm
from canvaslm import LM


@pytest.fixture(scope="session")
def writer(checkpoint: Path) -> LM:
    """Canvases of 16 tokens, a vocabulary of single bytes and a few words."""
    lm = canvaslm.load(checkpoint, device="cpu", dtype="float32")
    sharpen(lm.model)
    return LM(lm.model, tokenizer=lm.tokenizer, settings=lm.settings)
