"""Tokens that a text may begin and end with."""

import math

import torch

from canvaslm.control.edges import Edges

FIRST = torch.tensor([True, False, True, False])
LAST = torch.tensor([False, False, True, True])


def test_only_the_first_and_the_last_position_are_ruled() -> None:
    logits_LV = torch.zeros(5, 4)
    Edges(size=3, first=FIRST, last=LAST).apply(logits_LV, [], None)
    no = -math.inf
    assert logits_LV.tolist() == [[0, no, 0, no], [0] * 4, [no, no, 0, 0], [0] * 4, [0] * 4]


def test_one_position_is_both() -> None:
    logits_LV = torch.zeros(1, 4)
    Edges(size=1, first=FIRST, last=LAST).apply(logits_LV, [], None)
    assert (logits_LV[0] == 0).tolist() == [False, False, True, False]


def test_a_side_may_stay_free() -> None:
    logits_LV = torch.zeros(2, 4)
    Edges(size=2, first=None, last=None).apply(logits_LV, [], None)
    assert not logits_LV.any()
