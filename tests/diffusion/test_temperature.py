"""The temperature falls linearly with the steps that remain."""

import pytest

from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.errors import ParameterError


def test_the_published_schedule() -> None:
    schedule = LinearTemperature()
    assert schedule.at(48) == pytest.approx(0.8)
    assert schedule.at(24) == pytest.approx(0.6)
    assert schedule.at(1) == pytest.approx(0.4 + 0.4 / 48)


def test_equal_ends_are_a_constant() -> None:
    schedule = LinearTemperature(t_min=0.7, t_max=0.7, max_steps=3)
    assert [schedule.at(n) for n in (3, 2, 1)] == [0.7, 0.7, 0.7]


@pytest.mark.parametrize(
    "wrong", [{"t_min": 0.9}, {"t_min": -0.1}, {"t_min": 0, "t_max": 0}, {"max_steps": 0}]
)
def test_what_cannot_be_a_schedule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=r"t_min|max_steps"):
        LinearTemperature(**wrong)
