"""Score against steps, drawn from its data alone."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from canvaslm.errors import ParameterError
from canvaslm.eval.pages.curves import draw
from canvaslm.eval.report import wilson

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def point(right: int, steps: int | None, passes: float) -> dict[str, Any]:
    low, high = wilson(right, 50)
    return {"steps": steps, "score": right / 50, "interval": [low, high], "passes": passes}


def panel(name: str) -> dict[str, Any]:
    lines = {
        way: [point(9 * n, steps, steps) for n, steps in enumerate((1, 2, 48))] for way in "ab"
    }
    return {
        "name": name,
        "lines": lines,
        "left to right": {"the same weights": point(50, None, 91.0)},
    }


@pytest.mark.parametrize("count", [1, 4, 5])
def test_every_panel_and_every_way_is_named(tmp_path: Path, count: int) -> None:
    document = {"panels": [panel(f"<task {n}>") for n in range(count)]}
    draw(document, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    said = "".join(ElementTree.fromstring(drawn).itertext())
    for name in (*(f"<task {n}>" for n in range(count)), "one shot", "left to right, the same"):
        assert name in said
    draw(document, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == drawn


def test_colours_follow_the_reader(tmp_path: Path) -> None:
    draw({"panels": [panel("one")]}, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "prefers-color-scheme:dark" in drawn
    assert drawn.count("var(--paper") >= 1
    assert drawn.count("var(--first") >= 2


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="a plot is one of"):
        draw({"panels": []}, tmp_path / "a.gif")
