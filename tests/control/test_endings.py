"""Positions that would be cut off need not settle."""

import torch

from canvaslm.control.endings import FirstStop, Limit

BEST = torch.arange(4)


def test_the_limit_counts_from_the_beginning_of_the_answer() -> None:
    limit = Limit(tokens=6)
    assert limit.open([], BEST) is None
    assert limit.open([1] * 2, BEST) is None
    assert limit.open([1] * 3, BEST).tolist() == [True, True, True, False]


def test_a_stop_string_settles_itself() -> None:
    assert FirstStop(through=lambda ids: None).open([], BEST) is None
    assert FirstStop(through=lambda ids: ids.index(1) + 1).open([], BEST).tolist() == [
        True,
        True,
        False,
        False,
    ]
