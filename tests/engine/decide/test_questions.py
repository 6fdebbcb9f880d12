"""Questions that can be asked, and those that cannot."""

import pytest

from canvaslm import Option, Pick, Rate, YesNo
from canvaslm.errors import ParameterError


def test_options_may_be_values_options_or_a_mapping() -> None:
    listed = (Option("a", "first"), Option("b"))
    assert Pick("Which?", [Option("a", "first"), "b"]).listed == listed
    assert Pick("Which?", {"a": "first", "b": None}).listed == listed
    assert [option.text for option in Pick("Which?", [True, False]).listed] == ["true", "false"]
    assert [option.text for option in YesNo("Is it?").listed] == ["yes", "no"]


def test_the_most_options_are_255_and_10() -> None:
    assert len(Pick("Which?", [f"o{n}" for n in range(255)]).listed) == 255
    assert len(Rate("How?", [str(n) for n in range(10)]).listed) == 10


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: YesNo(""), "instructions of a question must not be empty"),
        (lambda: YesNo(" \n"), "must not be empty"),
        (lambda: YesNo(3), "must be a text, got 3 of type int"),
        (lambda: YesNo("Is it?", yes=""), "description of an option"),
        (lambda: Pick("Which?", []), "2 to 255 options, got 0"),
        (lambda: Pick("Which?", ["a"]), "2 to 255 options, got 1"),
        (lambda: Pick("Which?", [f"o{n}" for n in range(256)]), "got 256"),
        (lambda: Pick("Which?", ["a", "b", "a"]), "'a' twice"),
        (lambda: Pick("Which?", [True, "true"]), "'true' twice"),
        (lambda: Pick("Which?", ["a", " "]), "must have a text"),
        (lambda: Pick("Which?", ["a", 2]), "got 2 of type int"),
        (lambda: Pick("Which?", "ab"), "must be a list"),
        (lambda: Rate("How?", [str(n) for n in range(11)]), "2 to 10 levels, got 11"),
        (lambda: Rate("How?", ["low"]), "got 1"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask: object, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        ask()  # type: ignore[operator]
