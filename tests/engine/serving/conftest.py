"""The embedded model for the engine's tests; its pages are counted after each."""

from collections.abc import Iterator

import pytest

import canvaslm
from canvaslm import LM


@pytest.fixture(scope="session")
def pocket() -> LM:
    return canvaslm.load()


@pytest.fixture
def quiet_lm(pocket: LM) -> Iterator[LM]:
    """Nothing of it may be in use after a test."""
    yield pocket
    if pocket.pool.known is not None:
        pocket.pool.known.clear()
    assert pocket.pool.in_use == 0
