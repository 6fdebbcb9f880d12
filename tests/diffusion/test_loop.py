"""The loop of a canvas, with a model that is a script."""

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.diffusion.candidate import inverse_cdf
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.statistics import statistics
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.kernels.ops import Belief
from canvaslm.model.network import Bend, FusedHead

VOCABULARY, LENGTH, HIDDEN = 12, 6, 3


class Script:
    """Row r is unsure until step `sure_at[r]`, then certain of token r everywhere."""

    def __init__(self, sure_at: Sequence[int]) -> None:
        self.sure_at = sure_at
        self.step = 0
        self.rows: list[tuple[int, ...]] = []
        self.softened = 0
        self.soft: Tensor | None = None

    head: FusedHead | None = None

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        assert ids_BL.shape == (len(rows), LENGTH)
        assert (soft_BLD is None) == (self.step == 0)
        assert soft_BLD is None or soft_BLD.shape == (len(rows), LENGTH, HIDDEN)
        self.step += 1
        self.rows.append(tuple(rows))
        logits = torch.randn(len(rows), LENGTH, VOCABULARY)
        for place, row in enumerate(rows):
            if self.step >= self.sure_at[row]:
                logits[place] = 0
                logits[place, :, row] = 60
        return logits

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        """The script says its logits at once."""
        return hidden_BLD

    def soften(self, p_BLV: Tensor) -> Tensor:
        assert 1 <= len(p_BLV) <= len(self.rows[-1])
        self.softened += 1
        return p_BLV[..., :HIDDEN]


class Fused:
    """A head that gives away no more than it must."""

    vocab_size = VOCABULARY

    def __init__(self) -> None:
        self.kept: list[bool] = []

    def believe(
        self,
        hidden_BLD: Tensor,
        *,
        temperature: float | Tensor,
        uniform_BL: Tensor,
        soft: bool,
        bend: Bend | None = None,
    ) -> Belief:
        assert bend is None
        self.kept.append(soft)
        known = statistics(hidden_BLD / temperature)
        drawn_BL = inverse_cdf(known.p, known.share, uniform_BL)
        log_z_BL = torch.zeros_like(known.entropy)
        return Belief(log_z_BL, known.entropy, known.best, drawn_BL, state=known.p)

    def soften(self, belief: Belief, rows: Sequence[int]) -> Tensor:
        return belief.state[list(rows)][..., :HIDDEN]


def run(script: Script, *, stability: int = 1, max_steps: int = 10) -> list[State]:
    sampler = Sampler(
        temperature=LinearTemperature(max_steps=max_steps),
        stop=StableAndConfident(stability=stability),
    )
    rows = range(len(script.sure_at))
    draws = CounterDraws(
        seeds=list(rows),
        length=LENGTH,
        rule=UniformNoise(vocab_size=VOCABULARY),
        device=torch.device("cpu"),
    )
    return list(settle(script, [Seat(row=row, sampler=sampler) for row in rows], draws, canvas=0))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4), st.integers(0, 99))
def test_a_fused_head_leads_to_the_same_canvases(sure_at: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    plain = run(Script(sure_at), max_steps=5)
    torch.manual_seed(seed)
    script = Script(sure_at)
    script.head = head = Fused()
    fused = run(script, max_steps=5)
    assert script.softened == 0
    assert head.kept == [True] * min(len(fused), 4) + [False] * (len(fused) == 5)
    assert [(one.rows, one.finished) for one in fused] == [(o.rows, o.finished) for o in plain]
    for one, other in zip(fused, plain, strict=True):
        assert torch.equal(one.canvas, other.canvas)
        assert torch.equal(one.best, other.best)


def test_it_stops_when_the_canvas_is_stable_and_sure() -> None:
    for stability, steps in ((0, 4), (1, 5), (2, 6)):
        states = run(script := Script([4]), stability=stability)
        assert [state.step for state in states] == list(range(1, steps + 1))
        assert [state.finished for state in states] == [(False,)] * (steps - 1) + [(True,)]
        assert states[-1].best.tolist() == [[0] * LENGTH]
        assert script.softened == steps - 1  # only where another step follows


def test_it_ends_after_the_last_step_whatever_the_doubt() -> None:
    states = run(script := Script([99]), max_steps=3)
    assert [state.finished for state in states] == [(False,), (False,), (True,)]
    assert script.softened == 2


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_a_settled_row_takes_no_further_part(sure_at: list[int]) -> None:
    states = run(script := Script(sure_at))
    done: dict[int, int] = {}
    for state in states:
        for row, finished in zip(state.rows, state.finished, strict=True):
            assert row not in done
            if finished:
                done[row] = state.step
                assert state.best[state.rows.index(row)].tolist() == [row] * LENGTH
    assert done == {row: step + 1 for row, step in enumerate(sure_at)}
    assert script.rows == [state.rows for state in states]


def test_an_accepted_token_may_become_noise_again() -> None:
    """Nothing is locked: every step decides anew for every position."""
    torch.manual_seed(0)
    states = run(Script([99]), max_steps=10)
    accepted = torch.cat([state.accepted for state in states])
    assert accepted.any(dim=1).all()
    assert (accepted[:-1] & ~accepted[1:]).any()
