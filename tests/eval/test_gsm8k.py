"""GSM8K from a file: read, asked, scored."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.errors import ParameterError
from canvaslm.eval.gsm8k import last_number, read_gsm8k

LINES = [
    {"question": "2 boxes of 3?", "answer": "2*3=<<2*3=6>>6\nSo six.\n#### 6"},
    {"question": "A house?", "answer": "It costs.\n#### 1,250,000"},
]


def file(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "test.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_questions_are_asked_and_the_final_number_is_what_is_expected(tmp_path: Path) -> None:
    suite = read_gsm8k(file(tmp_path, *LINES))
    assert [example.answer for example in suite.examples] == ["6", "1,250,000"]
    assert [example.bin for example in suite.examples] == ["2 steps", "1 step"]
    assert "2 boxes of 3?" in suite.examples[0].prompt
    assert "six" not in suite.examples[0].prompt
    assert len(read_gsm8k(file(tmp_path, *LINES), n=1).examples) == 1


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("1250000", True),
        ("It is $1,250,000.00.", True),
        ("First 7, then 1,250,000!", True),
        ("1,250,000 or 8", False),
        ("1250001", False),
        ("-1250000", False),
        ("no idea", False),
        ("", False),
        ("1" * 10**5, False),
    ],
)
def test_the_last_number_counts_however_it_is_written(
    tmp_path: Path, said: str, right: bool
) -> None:
    suite = read_gsm8k(file(tmp_path, *LINES))
    score = suite.score(suite.examples[1], said)
    assert score.correct == right
    assert score.details["number"] == float(any(char.isdigit() for char in said))


@given(st.text())
def test_no_text_breaks_the_scorer(text: str) -> None:
    number = last_number(text)
    assert number is None or isinstance(number, Decimal)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([LINES[0], "{oops"], "line 2 is not JSON"),
        ([LINES[0], "", {"question": "?"}], "line 3 needs texts"),
        ([{"question": "?", "answer": "six"}], "line 1: the answer does not end"),
        (["[]"], "line 1 needs texts"),
        ([""], "is empty"),
    ],
)
def test_a_file_that_is_not_gsm8k_is_refused_by_its_line(
    tmp_path: Path, lines: list[object], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        read_gsm8k(file(tmp_path, *lines))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="does not exist"):
        read_gsm8k(tmp_path / "none.jsonl")
    with pytest.raises(ParameterError, match="n must be"):
        read_gsm8k(file(tmp_path, *LINES), n=0)
