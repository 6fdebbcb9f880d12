"""Which operations are taken: asked for, by the environment, or the best that runs."""

import pytest

from canvaslm.errors import ParameterError
from canvaslm.kernels.choose import VARIABLE, operations
from canvaslm.kernels.cpu.library import runnable


def test_the_best_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert operations().name == ["reference", *runnable()][-1]
    assert operations("reference").name == "reference"
    for name in runnable():
        assert operations(name).name == name
        assert operations(name) is operations(name)
    monkeypatch.setenv(VARIABLE, "reference")
    assert operations().name == "reference"


def test_a_name_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match=r"kernels must be one of .* got 'sse'"):
        operations("sse")
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(ParameterError, match=rf"{VARIABLE} must be one of .* got 'fast'"):
        operations()
