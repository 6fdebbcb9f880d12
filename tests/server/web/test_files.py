"""The page's files: small, nothing inline, nothing from elsewhere."""

import json
import re
from importlib.resources import files

import pytest

from canvaslm.tasks.sudoku import PROMPT
from canvaslm.tasks.sudoku_grid import count_solutions

WEB = {
    entry.name: entry.read_text("utf-8")
    for entry in files("canvaslm.server").joinpath("web").iterdir()
    if entry.is_file()
}
MODULES = sorted(name for name in WEB if name.endswith(".js"))
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_one_idea(name):
    first, *rest = WEB[name].splitlines()
    assert re.fullmatch(r"// [A-Z].*\.", first)
    assert len(rest) < 200


@pytest.mark.parametrize("name", sorted(WEB))
def test_nothing_comes_from_elsewhere(name):
    text = WEB[name].replace(NAMESPACE, "")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text


@pytest.mark.parametrize("name", MODULES)
def test_no_module_makes_markup_of_text(name):
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in WEB[name]
    assert ("srcdoc" in WEB[name]) == (name == "picture.js")


def test_every_import_is_there():
    for name in MODULES:
        for other in re.findall(r'from "\./([^"]+)"', WEB[name]):
            assert other in WEB, name


def test_the_document_has_nothing_inline():
    page = WEB["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert "<style" not in page
    assert re.findall(r"\s(?:style|on[a-z]+)=", page) == []
    for address in re.findall(r'(?:src|href)="(web/[^"]+)"', page):
        assert address.removeprefix("web/") in WEB


def test_a_sudoku_is_asked_as_the_model_was_taught():
    assert json.dumps(PROMPT) in WEB["prompts.js"]
    puzzles = re.findall(r'"([0-9]{81})"', WEB["prompts.js"])
    assert puzzles
    for puzzle in puzzles:
        assert count_solutions([*map(int, puzzle)]) == 1
