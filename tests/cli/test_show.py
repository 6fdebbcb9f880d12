"""`canvaslm show`: pictures of a solve, or a complaint."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.cli.conftest import Run

HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"


@pytest.fixture
def puzzles(tmp_path: Path) -> Path:
    path = tmp_path / "hard.txt"
    path.write_text(f"{HARD}\n")
    return path


def test_both_pictures_and_every_pass(
    run: Run, checkpoint: Path, puzzles: Path, tmp_path: Path
) -> None:
    asked = ("show", "sudoku", "--model", checkpoint, "--file", puzzles, "--form", "rows", "--pins")
    more = ("--max-steps", 3, "--picture", tmp_path / "a.svg", "--still", tmp_path / "b.svg")
    done = run(*asked, *more, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert 1 <= len(document["moments"]) <= 3
    assert "".join(map(str, document["puzzle"]["cells"])) == HARD.replace(".", "0")
    for name in ("a.svg", "b.svg"):
        ElementTree.parse(tmp_path / name)
    told = run(*asked, "--max-steps", 1)
    assert "cells right" in told.out
    assert "solved" in told.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--picture", "a.png"), "the picture is an SVG"),
        (("--file", "FILE", "--number", 2), "has 1 puzzles, and no number 2"),
        (("--file", "FILE", "--number", 0), "counted from 1"),
        (("--bin", "none"), "no bin 'none'"),
        (("--number", 2), "--number 2 would have no effect without --file"),
        (("--file", "FILE", "--bin", "<24"), "--bin <24 would have no effect with --file"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    run: Run, puzzles: Path, more: tuple[object, ...], said: str
) -> None:
    done = run("show", "sudoku", *(puzzles if one == "FILE" else one for one in more))
    assert done.code == 2
    assert said in done.err
