"""Labelled questions from JSON lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from canvaslm import LM
from canvaslm.engine.decide.decide import Rules
from canvaslm.engine.decide.examples import gather, read_examples
from canvaslm.errors import ParameterError

NAMED = {
    "state": {"a": 1},
    "questions": {
        "y": {"type": "noul", "instructions": "Is it?"},
        "p": {"type": "choice", "instructions": "Which?", "criteria": ["a", "b", "c"]},
        "r": {"type": "score", "instructions": "How?", "criteria": ["low", "high"]},
    },
    "answers": {"y": False, "p": "c", "r": 1},
}
LISTED = {
    "state": "text",
    "questions": [
        {
            "type": "choice",
            "instructions": "Which?",
            "choices": [{"value": True}, {"value": False}],
        }
    ],
    "answers": [False],
}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    return path


def test_answers_are_places_among_the_options(tmp_path: Path) -> None:
    named, listed = read_examples(write(tmp_path / "x.jsonl", NAMED, LISTED))
    assert named.right == [1, 2, 1]
    assert listed.right == [1]
    labelled = {**NAMED, "answers": {"y": "yes", "p": "a", "r": "low"}}
    assert read_examples(write(tmp_path / "x.jsonl", labelled))[0].right == [0, 0, 0]


def test_every_question_becomes_a_case(tmp_path: Path, talker: LM) -> None:
    examples = read_examples(write(tmp_path / "x.jsonl", NAMED, LISTED))
    seen: list[int] = []
    cases = gather(talker.decider, examples, rules=Rules(), progress=seen.append)
    assert [case.kind for case in cases] == ["yes_no", "pick", "rate", "pick"]
    assert [len(case.log_p) for case in cases] == [2, 3, 2, 2]
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answers": {"y": True}}, "keyed or listed as the questions are"),
        ({"answers": [1, 2, 3]}, "keyed or listed as the questions are"),
        ({"answers": {"y": True, "p": "d", "r": 1}}, "question 'p' is 'd', expected one of a, b"),
        ({"answers": {"y": True, "p": "a", "r": 2}}, "question 'r' is 2"),
        ({"answers": {"y": 1, "p": "a", "r": 0}}, "question 'y' is 1"),
        ({"questions": {}}, "no questions"),
        ({"extra": 1}, "state, questions and answers"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    file = write(tmp_path / "x.jsonl", NAMED, NAMED | change)
    with pytest.raises(ParameterError, match=f"line 2: .*{reason}"):
        read_examples(file)


def test_a_file_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        read_examples(tmp_path / "missing.jsonl")
    with pytest.raises(ParameterError, match="holds no examples"):
        read_examples(write(tmp_path / "empty.jsonl"))
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(ParameterError, match="line 1"):
        read_examples(tmp_path / "broken.jsonl")
