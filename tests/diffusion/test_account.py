"""What follows a settled end does not count; everything else does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.diffusion.account import EndOfText, Everything
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.view import Past
from canvaslm.errors import ParameterError

END = 9
TEXT = [1, 2, END, 3, END]


def known(entropy: list[list[float]], best: list[list[int]]) -> Statistics:
    doubt = torch.tensor(entropy)
    return Statistics(p=doubt, share=doubt, entropy=doubt, best=torch.tensor(best))


def opened(
    best: list[int], *, doubt: float = 0.0, before: list[list[int]], steps: int = 1
) -> list[bool]:
    rule = EndOfText(end_ids=frozenset({END, 8}), steps=steps)
    past = Past(best=tuple(torch.tensor([row]) for row in before))
    found = rule.open(known([[doubt] * len(best)], [best]), torch.tensor([best]), past)
    assert found is not None
    return found[0].tolist()


def test_positions_through_the_first_end_count() -> None:
    assert opened(TEXT, before=[TEXT]) == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("best", "doubt", "before", "steps"),
    [
        (TEXT, 0.0, [], 1),  # nothing before
        (TEXT, 0.2, [TEXT], 1),  # a doubtful end
        (TEXT, 0.0, [[1, END, 5, 3, 2]], 1),  # an end that came later
        (TEXT, 0.0, [[1, 2, 5, 3, END]], 1),  # or earlier
        (TEXT, 0.0, [TEXT], 2),
        ([1, 2, 3, 4, 5], 0.0, [[1, 2, 3, 4, 5]], 1),  # none at all
    ],
)
def test_without_a_settled_end_all_count(
    best: list[int], doubt: float, before: list[list[int]], steps: int
) -> None:
    assert opened(best, doubt=doubt, before=before, steps=steps) == [True] * 5


def test_with_no_steps_an_end_counts_at_once() -> None:
    assert opened(TEXT, before=[], steps=0) == [True, True, True, False, False]


def test_any_of_the_end_ids_ends() -> None:
    assert opened([1, 8, 2, END, 3], before=[[4, 8, 4, 4, 4]]) == [True, True, False, False, False]


def test_every_row_has_its_own_end() -> None:
    rows = [TEXT, [1, 1, 1, 1, 1], [END, 1, 1, 1, 1]]
    best = torch.tensor(rows)
    rule = EndOfText(end_ids=frozenset({END}), steps=0)
    found = rule.open(known([[0.0] * 5] * 3, rows), best, Past())
    assert found is not None
    assert found.sum(dim=-1).tolist() == [3, 5, 1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_the_first_end_counts_and_nothing_behind_it(best: list[int]) -> None:
    found = opened(best, before=[best])
    end = next((n for n, id in enumerate(best) if id in (8, END)), len(best))
    assert found == [place <= end for place in range(len(best))]


def test_everything_counts_in_the_published_rule() -> None:
    assert Everything().open(known([[0.0]], [[END]]), torch.tensor([[END]]), Past()) is None


@pytest.mark.parametrize("wrong", [{"doubt": 0.0}, {"steps": -1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        EndOfText(end_ids=frozenset({END}), **wrong)  # type: ignore[arg-type]
