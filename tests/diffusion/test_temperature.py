"""The temperature falls linearly with the steps that remain, or with what is not accepted."""

import pytest
import torch

from canvaslm.diffusion.temperature import ByProgress, LinearTemperature
from canvaslm.diffusion.view import Past
from canvaslm.errors import ParameterError


def test_the_published_schedule() -> None:
    schedule = LinearTemperature()
    assert schedule.at(48) == pytest.approx(0.8)
    assert schedule.at(24) == pytest.approx(0.6)
    assert schedule.at(1) == pytest.approx(0.4 + 0.4 / 48)


def test_over_fewer_steps_it_is_the_short_schedule_and_then_its_end() -> None:
    long, short = LinearTemperature(over=4), LinearTemperature(max_steps=4)
    taken = [long.at(48 - done) for done in range(48)]
    assert taken[:4] == [short.at(4 - done) for done in range(4)]
    assert set(taken[4:]) == {short.at(1)}
    full = LinearTemperature(over=48)
    assert [full.at(n) for n in range(1, 49)] == [LinearTemperature().at(n) for n in range(1, 49)]


@pytest.mark.parametrize("over", [0, 49])
def test_it_cannot_fall_over_more_steps_than_there_are(over: int) -> None:
    with pytest.raises(ParameterError, match="over"):
        LinearTemperature(over=over)


def test_equal_ends_are_a_constant() -> None:
    schedule = LinearTemperature(t_min=0.7, t_max=0.7, max_steps=3)
    assert [schedule.at(n) for n in (3, 2, 1)] == [0.7, 0.7, 0.7]


@pytest.mark.parametrize(
    "wrong", [{"t_min": 0.9}, {"t_min": -0.1}, {"t_min": 0, "t_max": 0}, {"max_steps": 0}]
)
def test_what_cannot_be_a_schedule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=r"t_min|max_steps"):
        LinearTemperature(**wrong)


def progress(accepted: list[list[bool]], open: list[list[bool]] | None = None) -> list[float]:
    past = Past(accepted=torch.tensor(accepted), open=None if open is None else torch.tensor(open))
    found = ByProgress(t_min=0.4, t_max=0.8, max_steps=10).at(5, past)
    assert isinstance(found, torch.Tensor)
    assert found.shape == (len(accepted), 1, 1)
    return [round(t, 4) for t in found.flatten().tolist()]


def test_a_canvas_cools_as_it_is_accepted() -> None:
    assert ByProgress(t_min=0.4, t_max=0.8).at(1) == 0.8
    rows = [[False] * 4, [True, False, False, False], [True, True, True, False]]
    assert progress(rows) == [0.8, 0.7, 0.5]


def test_the_end_is_the_linear_schedules() -> None:
    last = LinearTemperature(t_min=0.4, t_max=0.8, max_steps=10).at(1)
    assert progress([[True] * 4]) == [round(last, 4)]


def test_only_what_counts_makes_progress() -> None:
    accepted, open = [[True, False, True, True]], [[True, True, False, False]]
    assert progress(accepted, open) == [0.6]


@pytest.mark.parametrize("wrong", [{"t_min": 0.9}, {"t_max": 0.0, "t_min": 0.0}, {"max_steps": 0}])
def test_progress_checks_its_schedule_too(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        ByProgress(**wrong)  # type: ignore[arg-type]
