"""The start of a canvas that has settled is held, and only what may be held is."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.control.steering import Steering
from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.hold import Hold
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.errors import ParameterError

CANVAS = torch.tensor([[5, 6, 7, 8]])
SURE = torch.zeros(1, 4)
ALL = torch.ones(1, 4, dtype=torch.bool)
VOCABULARY, LENGTH, STEPS = 12, 6, 12
TURNS = (-1, 1, 4, 9, 0)


def count(
    held: int = 0,
    *,
    hold: Hold | None = None,
    earlier: Sequence[Tensor] = (CANVAS, CANVAS),
    accepted: Tensor = ALL,
    entropy: Tensor = SURE,
) -> int:
    rule = hold or Hold()
    return rule.count(
        held, best_1L=CANVAS, earlier=earlier, accepted_1L=accepted, entropy_1L=entropy
    )


def test_each_reason_keeps_a_position_and_all_after_it_open() -> None:
    other = torch.tensor([[5, 6, 9, 8]])
    assert count() == 4
    assert count(earlier=(CANVAS, other)) == 2
    assert count(earlier=(other, CANVAS)) == 2
    assert count(earlier=(other, CANVAS), hold=Hold(steps=1)) == 4
    assert count(accepted=CANVAS != 6) == 1
    assert count(entropy=torch.tensor([[0.5, 0.0, 0.0, 0.0]])) == 0


def test_what_is_held_stays_so_and_nothing_is_before_its_time() -> None:
    assert count(earlier=(CANVAS,)) == 0
    assert count(3, earlier=()) == 3
    assert count(2, accepted=CANVAS != 5) == 4  # a corrector may take back what is held


def test_values_that_would_hold_nothing_or_all_are_refused() -> None:
    with pytest.raises(ParameterError, match="steps must be at least 1"):
        Hold(steps=0)
    with pytest.raises(ParameterError, match="doubt must be positive"):
        Hold(doubt=0)


class Restless:
    """Each position is sure of a token until a step at which it is sure of the next one; at 0 it
    is never sure, at -1 torn between two."""

    head = None

    def __init__(self, turns: Sequence[int]) -> None:
        self.turns, self.step = torch.tensor(turns), 0
        self.seen: list[list[int]] = []

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        self.step += 1
        self.seen.append(ids_BL[0].tolist())
        logits_BLV = torch.randn(1, LENGTH, VOCABULARY)
        token_L = torch.arange(LENGTH) + (self.turns.abs() <= self.step)
        sure_L = self.turns != 0
        torn_L = self.turns < 0
        logits_BLV[0, torch.arange(LENGTH)[torn_L], token_L[torn_L] + 1] = 59.9
        logits_BLV[0, torch.arange(LENGTH)[sure_L], token_L[sure_L]] = 60
        return logits_BLV

    def hidden_at(self, *_: Any) -> Tensor:
        raise AssertionError("nothing is skipped here")

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        return hidden_BLD

    def soften(self, p_BLV: Tensor) -> Tensor:
        return p_BLV


def run(turns: Sequence[int], *, keep: Any = None, hold: Hold | None = None) -> SimpleNamespace:
    torch.manual_seed(0)
    device, model = torch.device("cpu"), Restless(turns)
    draws = CounterDraws(
        seeds=[0], length=LENGTH, rule=UniformNoise(vocab_size=VOCABULARY), device=device
    )
    sampler = Sampler(
        temperature=LinearTemperature(max_steps=STEPS),
        accept=EntropyBound(bound=100),
        stop=StableAndConfident(stability=5),
        hold=hold or Hold(),
    )
    guide = Steering().on_canvas(LENGTH, device)
    seat = Seat(row=0, sampler=sampler, guide=guide, keep=keep)
    states: list[State] = list(settle(model, [seat], draws, canvas=0))
    return SimpleNamespace(states=states, seen=model.seen)


@given(st.lists(st.sampled_from(TURNS), min_size=LENGTH, max_size=LENGTH), st.integers(1, 3))
def test_no_later_step_revises_what_is_held(turns: list[int], steps: int) -> None:
    told: list[int] = []

    def keep(ids: Sequence[int]) -> bool:
        told.extend(ids)
        return False

    made = run(turns, keep=keep, hold=Hold(steps=steps, doubt=1.0))
    before = 0
    for number, state in enumerate(made.states):
        [held] = state.held
        assert held >= before
        assert state.best[0, :held].tolist() == told[:held]
        assert state.canvas[0, :held].tolist() == told[:held]
        if number + 1 < len(made.seen):  # what the next pass sees
            assert made.seen[number + 1][:held] == told[:held]
        if number:
            assert state.entropy[0, :before].eq(0).all()
            assert state.accepted[0, :before].all()
        before = held
    assert len(told) == before


def test_a_canvas_is_done_when_its_answer_is_held() -> None:
    turns = [1, 1, 1, 1, 0, 0]
    whole = run(turns, keep=lambda ids: False)
    short = run(turns, keep=lambda ids: 4 in ids)
    assert [state.finished for state in short.states] == [(False,), (False,), (True,)]
    assert short.states[-1].held == (4,)
    assert len(whole.states) == STEPS
