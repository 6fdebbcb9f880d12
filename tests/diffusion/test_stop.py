"""A canvas has settled when it is stable and confident, and not before."""

import pytest
import torch

from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.stop import AnyOf, StableAndConfident, Stop, Sure, TooShort, Unmoved
from canvaslm.diffusion.view import Past, View
from canvaslm.errors import ParameterError

A, B = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 4]])
SURE, UNSURE = torch.full((1, 3), 0.001), torch.tensor([[0.0, 0.0, 0.02]])


def view(best: torch.Tensor, entropy: torch.Tensor, earlier: list[torch.Tensor]) -> View:
    known = Statistics(p=entropy, share=entropy, entropy=entropy, best=best)
    return View(step=1, known=known, best=best, past=Past(best=tuple(earlier)))


@pytest.mark.parametrize(
    ("stability", "earlier", "settled"),
    [
        (0, [], True),
        (0, [B], True),
        (1, [], False),
        (1, [A], True),
        (1, [B], False),
        (1, [B, A], True),
        (2, [A], False),
        (2, [A, A], True),
        (2, [A, B], False),
        (2, [B, A], False),
    ],
)
def test_stability_asks_for_so_many_equal_steps(
    stability: int, earlier: list[torch.Tensor], settled: bool
) -> None:
    rule = StableAndConfident(stability=stability)
    assert rule.settled(view(A, SURE, earlier)).tolist() == [settled]
    assert rule.settled(view(A, UNSURE, earlier)).tolist() == [False]


def test_the_mean_decides_not_the_worst() -> None:
    doubt = torch.tensor([[0.0, 0.0, 0.014]])
    assert StableAndConfident().settled(view(A, doubt, [A])).tolist() == [True]


def test_every_row_is_judged_for_itself() -> None:
    best = torch.cat((A, A, B))
    before = torch.cat((A, B, B))
    doubt = torch.cat((SURE, SURE, UNSURE))
    assert StableAndConfident().settled(view(best, doubt, [before])).tolist() == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("wrong", [{"stability": -1}, {"confidence": 0}])
def test_thresholds_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        StableAndConfident(**wrong)


def test_only_what_counts_is_averaged_and_compared() -> None:
    doubt = torch.tensor([[0.004, 0.004, 3.0]])
    open = torch.tensor([[True, True, False]])
    known = Statistics(p=doubt, share=doubt, entropy=doubt, best=A)
    seen = View(step=2, known=known, best=A, open=open, past=Past(best=(B,)))
    assert StableAndConfident().settled(seen).tolist() == [True]
    assert StableAndConfident(confidence=0.003).settled(seen).tolist() == [False]
    assert Sure(total=0.01).settled(seen).tolist() == [True]
    assert Unmoved(steps=1).settled(seen).tolist() == [True]


def test_sure_asks_for_the_sum_and_for_no_step_before() -> None:
    rule = Sure(total=0.021)
    assert rule.settled(view(A, UNSURE, [])).tolist() == [True]
    assert rule.settled(view(A, torch.full((1, 3), 0.01), [])).tolist() == [False]


def test_unmoved_asks_for_steps_only() -> None:
    rule, doubt = Unmoved(steps=2), torch.full((1, 3), 4.0)
    assert rule.settled(view(A, doubt, [A, A])).tolist() == [True]
    assert rule.settled(view(A, doubt, [B, A, A])).tolist() == [True]
    assert rule.settled(view(A, doubt, [A])).tolist() == [False]
    assert rule.settled(view(A, doubt, [B, A])).tolist() == [False]


def test_a_canvas_without_an_end_is_too_short() -> None:
    best = torch.cat((A, B))
    rule = TooShort(end_ids=frozenset({4, 7}))
    assert rule.settled(view(best, torch.zeros(2, 3), [])).tolist() == [True, False]


def test_any_rule_settles_and_the_longest_memory_is_kept() -> None:
    rules: tuple[Stop, ...] = (Sure(total=0.001), Unmoved(steps=3), StableAndConfident())
    rule = AnyOf(rules=rules)
    assert rule.looks_back == 3
    assert rule.settled(view(A, SURE, [A])).tolist() == [True]
    assert rule.settled(view(A, UNSURE, [A])).tolist() == [False]
    assert rule.settled(view(A, UNSURE, [A, A, A])).tolist() == [True]


@pytest.mark.parametrize(
    ("rule", "values", "message"),
    [
        (Sure, {"total": 0.0}, "total"),
        (Unmoved, {"steps": 0}, "steps"),
        (AnyOf, {"rules": ()}, "no"),
    ],
)
def test_rules_that_cannot_be_are_refused(
    rule: type, values: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        rule(**values)
