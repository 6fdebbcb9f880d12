"""What little a guide may do to logits for a fused head to do it in its place."""

import torch

from canvaslm.control.bias import Banned, Bias
from canvaslm.control.penalties import Penalties
from canvaslm.control.pins import Pins
from canvaslm.control.steering import LogitRule, Steering

CPU, SIZE, LENGTH = torch.device("cpu"), 7, 4


def test_bias_and_pins_come_to_the_same() -> None:
    rules: list[LogitRule] = [Bias({2: 1.5, 3: -4.0}, device=CPU), Banned([3, 5], device=CPU)]
    guide = Steering(rules=rules, pins=Pins(tokens={1: 6})).on_canvas(LENGTH, CPU)
    bend = guide.little(SIZE)
    assert bend is not None
    assert bend.bias is not None
    assert bend.pinned is not None
    logits = torch.randn(LENGTH, SIZE)
    expected = logits + bend.bias
    guide.bend_logits(logits)
    assert torch.equal(logits, expected)
    guide.bend(logits)
    assert bend.pinned.tolist() == [-1, 6, -1, -1]
    assert logits.softmax(dim=-1)[1].tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_what_changes_from_step_to_step_is_not_little() -> None:
    guide = Steering(rules=[Penalties(frequency=1)]).on_canvas(LENGTH, CPU)
    assert guide.little(SIZE) is None
    assert Steering().on_canvas(LENGTH, CPU).little(SIZE) is not None
