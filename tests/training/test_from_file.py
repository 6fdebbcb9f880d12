"""A recipe file defines `recipe`; what else it may hold is refused by line."""

from pathlib import Path

import pytest

from canvaslm.errors import TrainingError
from canvaslm.training.from_file import read_recipe

GOOD = """
from canvaslm.training import Base, Documents, Pairs, Recipe

recipe = Recipe(
    name="mine", steps=3, start=Base("some/folder"),
    data=Documents(sources=(Pairs(path="data.jsonl"),)),
)
"""


def test_a_file_gives_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert read_recipe(tmp_path / "mine.py").name == "mine"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x = 1", "defines nothing as `recipe`"),
        ("recipe = 3", "defines a int as `recipe`"),
        ("x = 1\n\n1 / 0", "line 3: ZeroDivisionError"),
        ("x = (", "SyntaxError"),
        (GOOD.replace("steps=3", "steps=0"), "steps >= 1"),
        (GOOD.replace("steps=3", "pace=0"), "line 4: TypeError"),
    ],
)
def test_a_file_without_a_recipe_is_refused(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(TrainingError, match=wanted):
        read_recipe(tmp_path / "mine.py")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not there"):
        read_recipe(tmp_path / "none.py")


def test_the_package_gives_what_a_recipe_needs() -> None:
    import canvaslm.training as package

    assert {getattr(package, name).__name__ for name in package.__all__} == set(package.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing
