"""Positions that have settled are left out of a pass, and looked at again in time."""

import pytest
import torch
from torch import Tensor

from canvaslm.diffusion.skip import Skip
from canvaslm.errors import ParameterError

CANVAS = torch.tensor([[5, 6, 7, 8]])
SURE = torch.zeros(1, 4)
ALL = torch.ones(1, 4, dtype=torch.bool)


def places(
    step: int = 1,
    *,
    skip: Skip | None = None,
    before: Tensor = CANVAS,
    after: Tensor = CANVAS,
    best: Tensor = CANVAS,
    accepted: Tensor = ALL,
    entropy: Tensor = SURE,
) -> list[int] | None:
    found = (skip or Skip()).places(
        step,
        before_1L=before,
        after_1L=after,
        best_1L=best,
        accepted_1L=accepted,
        entropy_1L=entropy,
    )
    return None if found is None else found.tolist()


def test_each_reason_keeps_a_position_open() -> None:
    other = torch.tensor([[5, 6, 9, 8]])
    assert places(before=other) == [2]  # the pass saw another token there
    assert places(best=other) == [2]
    assert places(accepted=CANVAS != 7) == [2]
    assert places(entropy=torch.tensor([[0.0, 0.0, 0.5, 0.0]])) == [2]


def test_whole_passes_come_in_turn_and_no_pass_is_empty() -> None:
    assert [places(step, skip=Skip(refresh=3)) for step in range(1, 7)] == [
        *([0], [0], None),
        *([0], [0], None),
    ]
    assert places(entropy=SURE + 1) is None  # nothing has settled: a whole pass is no dearer


def test_values_that_would_skip_nothing_or_all_are_refused() -> None:
    with pytest.raises(ParameterError, match="doubt must be positive"):
        Skip(doubt=0)
    with pytest.raises(ParameterError, match="refresh must be at least 2"):
        Skip(refresh=1)
