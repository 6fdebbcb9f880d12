"""How cases are asked: every setting has an effect, or is refused."""

import pytest

from canvaslm.errors import ParameterError
from canvaslm.eval.asking import Asking


def test_the_most_steps_are_those_asked_for() -> None:
    assert Asking().params.max_steps is None
    assert Asking(max_steps=8).params.max_steps == 8
    assert Asking(mode="one-shot").params.max_steps == 1


@pytest.mark.parametrize(
    ("mode", "steps", "said"),
    [("one-shot", 4, "mode one-shot"), ("ar", 4, "max_steps"), ("diffusion", 0, "max_steps")],
)
def test_steps_without_effect_are_refused(mode: str, steps: int, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Asking(mode=mode, max_steps=steps)  # type: ignore[arg-type]
