"""A recipe that cannot run is refused; the schedule rises, stays and falls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.conftest import tiny_recipe

from canvaslm.errors import TrainingError
from canvaslm.tasks import TASKS, get
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.recipe import pocket


@given(st.integers(1, 500), st.integers(0, 50), st.floats(0, 1))
def test_the_learning_rate_rises_stays_and_falls(steps: int, warmup: int, decay: float) -> None:
    recipe = tiny_recipe(steps=steps, schedule=Trapezoid(warmup=warmup, decay=decay))
    rates = [recipe.rate(step) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    turn = rates.index(max(rates))
    assert rates[:turn] == sorted(rates[:turn])
    assert rates[turn:] == sorted(rates[turn:], reverse=True)


def test_pocket_names_only_tasks_and_bins_that_exist() -> None:
    data = pocket().data
    assert isinstance(data, Tasks)
    assert {task for mixture in data.mixtures for task in mixture.tasks} == set(TASKS)
    for task, bins in data.bins.items():
        assert set(bins) <= set(get(task).bins)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"steps": 0}, "steps >= 1"),
        ({"decay": 1.5}, "decay"),
        ({"hidden_size": 100}, "multiple of 32"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused(changes: dict[str, object], wanted: str) -> None:
    with pytest.raises(TrainingError, match=wanted):
        tiny_recipe(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": {}},
        {"tasks": {"ask": 0.0}},
        {"documents": 0},
        {"pinned_share": 2.0},
        {"wide_share": 0.5, "wide_weight": 0.0},
        {"wide_weight": 2.0},
        {"every": 2, "phase": 2},
        {"phase": -1},
        {"since": -1},
        {"since": 5, "until": 5},
    ],
)
def test_a_mixture_that_cannot_be_drawn_is_refused(changes: dict[str, object]) -> None:
    settings: dict[str, object] = {"tasks": {"ask": 1.0}, "documents": 1, "canvas_length": 8}
    with pytest.raises(TrainingError):
        Mixture(**(settings | changes))  # type: ignore[arg-type]
