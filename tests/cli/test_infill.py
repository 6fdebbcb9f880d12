"""`canvaslm infill`, `edit` and `repair`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm

SEED = ("--seed", 5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "f.py"
    made.write_text("def f(x):\n    return\n", encoding="utf-8")
    return made


def test_the_gap_of_a_document_on_standard_input_is_filled(run: Run, checkpoint: Path) -> None:
    done = run("infill", "-m", checkpoint, "--max-gap", 6, *SEED, stdin="def <gap>(x)\n")
    expected = canvaslm.load(checkpoint).infill(
        "def ", "(x)\n", max_gap=6, params=canvaslm.Params(seed=5)
    )
    assert (done.code, done.out) == (0, expected.document)


def test_several_gaps_as_json(run: Run, checkpoint: Path) -> None:
    options = ("-m", checkpoint, "--max-gap", 4, "--json", *SEED)
    document = json.loads(run("infill", *options, stdin="a<gap>b<gap>").out)
    first, second = document["fills"]
    assert document["document"] == f"a{first['text']}b{second['text']}"
    assert document["seed"] == 5
    assert str(first["gap_tokens"]) in first["candidates"]


def test_a_file_is_written_in_place(run: Run, checkpoint: Path, file: Path) -> None:
    options = ("--at", "2:11", "--gap", 2, "-m", checkpoint, *SEED)
    printed = run("infill", file, *options)
    done = run("infill", file, *options, "--write")
    assert (done.code, done.out) == (0, "")
    assert file.read_text(encoding="utf-8") == printed.out
    assert printed.out.startswith("def f(x):\n    return")


def test_an_edit_keeps_the_other_lines(run: Run, checkpoint: Path, file: Path) -> None:
    options = ("-m", checkpoint, *SEED)
    by_lines = run("edit", file, "--lines", "2:2", *options).out
    assert by_lines.startswith("def f(x):\n")
    assert by_lines.endswith("\n")
    assert run("edit", file, "--span", "10:20", *options).out == by_lines
    document = json.loads(run("edit", file, "--lines", "2:2", *options, "--json").out)
    assert document["document"] == by_lines
    assert document["before"] == "    return"


def test_a_repair_tells_what_it_changed(run: Run, checkpoint: Path, file: Path) -> None:
    options = ("--rounds", 1, "--doubt", 3, "-m", checkpoint, *SEED)
    document = json.loads(run("repair", file, *options, "--json").out)
    assert document["logprob"] >= document["logprob_before"]
    assert run("repair", file, *options).out == document["text"]


@pytest.mark.parametrize(
    ("command", "stdin", "reason"),
    [
        (("infill",), "nothing missing", "no <gap>"),
        (("infill", "--at", "1:1"), "a <gap>", "has a <gap> already"),
        (("infill", "--at", "9:1"), "a", "lines 1 to 1"),
        (("infill", "--at", "1:9"), "a", "columns 1 to 2"),
        (("infill", "--at", "top"), "a", "two numbers"),
        (("infill", "--gap", "3"), "a <gap>", "--gap is the length of one gap"),
        (("infill", "--write"), "a <gap>", "--write needs a FILE"),
        (("infill", "--watch"), "a <gap>", "no terminal"),
        (("infill", "--max-gap", "200"), "a <gap>", "a canvas of this model holds 128"),
        (("edit",), "a", "one of --span"),
        (("edit", "--span", "0:1", "--lines", "1:1"), "a", "one of --span"),
        (("edit", "--span", "0:9"), "a", "outside the text"),
        (("edit", "--span", "1:1"), "a", "is empty"),
        (("edit", "--lines", "2:1"), "a", "--lines 2:1"),
        (("edit", "--span", "0:1", "--strength", "2"), "a", "strength must be"),
        (("repair", "--doubt", "-1"), "a", "doubt must be"),
        (("repair",), "", "nothing to repair"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, checkpoint: Path, command: tuple[str, ...], stdin: str, reason: str
) -> None:
    done = run(*command, "-m", checkpoint, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
