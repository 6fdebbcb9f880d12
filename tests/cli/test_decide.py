"""`canvaslm decide` and `canvaslm calibrate`."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm
from canvaslm import Pick, Rate, YesNo

FLAGS = ("--yes-no", "A square?", "--choice", "Which? a, b", "--score", "How: low, mid, high")


def test_options_ask_what_the_library_asks(run: Run, checkpoint: Path) -> None:
    done = run("decide", "--model", checkpoint, "--json", *FLAGS, stdin="a square\n")
    assert done.code == 0
    document = json.loads(done.out)
    asked = {
        "A square?": YesNo("A square?"),
        "Which?": Pick("Which?", ["a", "b"]),
        "How": Rate("How", ["low", "mid", "high"]),
    }
    found = canvaslm.load(checkpoint).decide("a square", asked)
    assert document["answers"]["A square?"] == {
        "type": "noul",
        "noul": found["A square?"].probability,
    }
    assert document["answers"]["Which?"]["probabilities"] == found["Which?"].probabilities
    assert document["answers"]["How"]["legend"] == {"0": "low", "1": "mid", "2": "high"}
    assert document["usage"]["input_tokens"] == found.input_tokens
    assert document["usage"]["output_tokens"] == 0


def test_a_file_is_answered_in_its_own_format(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    state, questions = tmp_path / "state.txt", tmp_path / "questions.json"
    state.write_text("a square")
    common = ("decide", state, "--model", checkpoint, "--json", "--questions", questions)
    questions.write_text(json.dumps([{"type": "predicate", "instructions": "A square?"}]))
    (answer,) = json.loads(run(*common).out)["answers"]
    assert answer["type"] == "predicate"
    questions.write_text(json.dumps({"q": {"type": "noul", "instructions": "A square?"}}))
    found = json.loads(run(*common).out)["answers"]
    assert found == {"q": {"type": "noul", "noul": answer["probability"]}}


def test_the_table_shows_every_option(run: Run, checkpoint: Path) -> None:
    done = run("decide", "--model", checkpoint, "--method", "causal", *FLAGS, stdin="[b]x[/b]")
    assert done.code == 0
    for text in ("A square?", "yes", "Which?", "a", "How", "low", "mid", "high", "%"):
        assert text in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "no questions"),
        (("--choice", "Which?"), "lists no options"),
        (("--choice", "Which? a"), "got 1"),
        (("--choice", "Which? a, , b"), "must have a text"),
        (("--yes-no", "A?", "--yes-no", "A?"), "asked twice"),
        (("--yes-no", ""), "must not be empty"),
        (("--yes-no", "A?", "--questions", "x.json"), "not both"),
        (("--questions", "missing.json"), "missing.json"),
        (("--yes-no", "A?", "--method", "guess"), "--method"),
        (("--yes-no", "A?", "--orders", "0"), "orders"),
        (("--yes-no", "A?", "--calibration", "missing.json"), "missing.json"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    run: Run, checkpoint: Path, options: tuple[str, ...], reason: str
) -> None:
    done = run("decide", "--model", checkpoint, *options, stdin="a square")
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten lines, each with a yes-or-no and a choice."""
    questions = {
        "y": {"type": "noul", "instructions": "A square?"},
        "p": {"type": "choice", "instructions": "Which?", "criteria": ["a", "b"]},
    }
    lines = [
        {"state": f"a {'square ' * n}", "questions": questions, "answers": {"y": n > 4, "p": "a"}}
        for n in range(10)
    ]
    file = tmp_path / "labelled.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_temperatures_lie_beside_the_checkpoint_and_are_used(
    run: Run, checkpoint: Path, tmp_path: Path, labelled: Path
) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    done = run("calibrate", labelled, "--model", own, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert set(document["kinds"]) == {"yes_no", "pick"}
    assert {"temperature", "before", "after"} <= set(document["kinds"]["pick"])
    assert document["written"] == str(own / "decisions.json")
    temperature = document["kinds"]["pick"]["temperature"]
    assert canvaslm.load(own).calibration.temperature("denoise", "pick") == temperature
    given = ("--choice", "Which? a, b", "--json")
    after = run("decide", "--model", own, *given, stdin="a")
    named = ("--calibration", own / "decisions.json")
    same = run("decide", "--model", checkpoint, *given, *named, stdin="a")
    before = run("decide", "--model", checkpoint, *given, stdin="a")
    answers = [json.loads(done.out)["answers"] for done in (after, same, before)]
    assert answers[0] == answers[1] != answers[2]


def test_the_page_tells_what_calibrating_changes(
    run: Run, checkpoint: Path, tmp_path: Path, labelled: Path
) -> None:
    out = tmp_path / "elsewhere.json"
    done = run("calibrate", labelled, "--model", checkpoint, "--method", "causal", "--out", out)
    assert done.code == 0
    assert "ECE" in done.out
    assert "elsewhere.json" in done.out.replace("\n", "")
    assert set(json.loads(out.read_text())["temperatures"]) == {"causal"}


def test_the_embedded_model_is_not_changed_in_place(run: Run, labelled: Path) -> None:
    done = run("calibrate", labelled)
    assert (done.code, done.out) == (2, "")
    assert "--out" in done.err


def test_lines_that_cannot_be_used_are_refused(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("{}")
    done = run("calibrate", file, "--model", checkpoint, "--out", tmp_path / "x.json")
    assert (done.code, done.out) == (2, "")
    assert "line 1" in done.err
    assert not (tmp_path / "x.json").exists()
