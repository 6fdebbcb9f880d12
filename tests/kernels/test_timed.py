"""Timed operations give the same numbers and count their time."""

from itertools import count

import pytest
import torch

from canvaslm.kernels.reference import Reference
from canvaslm.kernels.timed import Timed


def test_each_call_is_counted_by_name() -> None:
    ticks = count()
    timed, plain = Timed(Reference(), clock=lambda: float(next(ticks))), Reference()
    h_TD = torch.randn(3, 8)
    for _ in range(3):
        ours = timed.operations.normed(h_TD, None, eps=1e-6)
    timed.operations.rows(h_TD, "int8")
    assert torch.equal(ours, plain.normed(h_TD, None, eps=1e-6))
    assert timed.name == "reference"
    assert timed.seconds == {"normed": 3.0, "rows": 1.0}
    assert timed.calls == {"normed": 3, "rows": 1}
    assert timed.shares() == {"normed": 0.75, "rows": 0.25}
    timed.clear()
    assert not timed.seconds


def test_what_goes_wrong_inside_comes_out() -> None:
    with pytest.raises(AttributeError):
        Timed(Reference()).operations.rows(3, "float32")  # type: ignore[arg-type]
