"""A Sudoku drawn: well-formed, harmless, and nothing left out."""

import re
from xml.etree import ElementTree

import pytest

from canvaslm.eval.filling import Filling, Moment
from canvaslm.eval.pages.filling import PANELS, moving, spread, start, still
from canvaslm.tasks.sudoku_files import Puzzle

SOLUTION = tuple(
    (3 * (row % 3) + row // 3 + column) % 9 + 1 for row in range(9) for column in range(9)
)
CELLS = tuple(digit if place % 3 else 0 for place, digit in enumerate(SOLUTION))
SVG = "{http://www.w3.org/2000/svg}"


def filling(passes: int) -> Filling:
    """Every blank cell is wrong until the last pass, which is right."""
    wrong = [digit % 9 + 1 if place % 3 == 0 else digit for place, digit in enumerate(SOLUTION)]
    moments = [
        Moment(step=step, digits=wrong if step < passes else SOLUTION, certainty=[0.9] * 81)
        for step in range(1, passes + 1)
    ]
    return Filling(puzzle=Puzzle(cells=CELLS, solution=SOLUTION, line=1), moments=moments)


@pytest.mark.parametrize("passes", [1, 2, 7, 30])
def test_every_pass_has_its_turn_and_the_last_one_stays(passes: int) -> None:
    root = ElementTree.fromstring(moving(filling(passes)))
    frames = [one for one in root.iter(f"{SVG}g") if (one.get("id") or "").startswith("p")]
    assert len(frames) == passes + 1
    assert ["last" in (one.get("class") or "") for one in frames] == [False] * passes + [True]
    style = root.findtext(f"{SVG}style") or ""
    assert all(f"#p{number}," in style for number in range(passes + 1))
    assert "prefers-color-scheme:dark" in style
    assert "prefers-reduced-motion" in style


def test_what_is_wrong_is_told_from_what_is_right() -> None:
    root = ElementTree.fromstring(still(filling(2)))
    panels = [one for one in root.iter(f"{SVG}g") if one.findtext(f"{SVG}text[last()]")]
    kinds = [
        {part.get("class") for part in panel.iter(f"{SVG}path")} & {"r", "w"} for panel in panels
    ]
    assert kinds[:3] == [set(), {"w"}, {"r"}]
    assert "all of 27 right" in "".join(root.itertext())


def test_nothing_runs_and_nothing_is_fetched() -> None:
    for drawn in (moving(filling(3)), still(filling(3))):
        assert not re.search(r"<script|href=|url\(|@import| on\w+=", drawn)
        assert drawn == drawn.encode("ascii", "ignore").decode() or "·" in drawn


@pytest.mark.parametrize("passes", [1, 5, 40])
def test_side_by_side_are_both_ends_and_no_more_than_fit(passes: int) -> None:
    moments = [start(filling(1).puzzle), *filling(passes).moments]
    chosen = spread(moments, PANELS)
    assert chosen[0] is moments[0]
    assert chosen[-1] is moments[-1]
    assert len(chosen) == min(PANELS, passes + 1)
