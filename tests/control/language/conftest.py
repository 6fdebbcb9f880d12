from pathlib import Path

import pytest

import canvaslm
from canvaslm.control.language import Vocabulary
from canvaslm.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The embedded model's."""
    found = Tokenizer.from_folder(Path(canvaslm.__file__).parent / "pocket")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary.of(tokenizer)
