"""Bias and bans touch their tokens only."""

import math

import torch

from canvaslm.control.bias import Banned, Bias

CPU = torch.device("cpu")


def test_a_bias_is_added_everywhere() -> None:
    logits_LV = torch.zeros(3, 5)
    Bias({1: 2.5, 4: -100.0}, device=CPU).apply(logits_LV, [], None)
    assert logits_LV.tolist() == [[0, 2.5, 0, 0, -100]] * 3


def test_a_banned_token_is_ruled_out() -> None:
    logits_LV = torch.ones(2, 4)
    Banned({3, 0}, device=CPU).apply(logits_LV, [], None)
    assert logits_LV.tolist() == [[-math.inf, 1, 1, -math.inf]] * 2
