"""A canvas as coloured text."""

from unicodedata import bidirectional, category

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from canvaslm.cli.canvas_view import Canvas, certainty_style, fit, legend, paint, printable


@given(st.text() | st.text(alphabet="a\x00\x1b\x7f\x9b\u202e\u2066\n"))
def test_nothing_a_terminal_would_obey_is_left(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not [c for c in shown if category(c) == "Cc" and c not in "\n\t"]
    assert not {bidirectional(c) for c in shown} & {"LRE", "RLE", "LRO", "RLO", "PDF"}
    assert not {bidirectional(c) for c in shown} & {"LRI", "RLI", "FSI", "PDI"}


def test_plain_text_stays_as_it_is() -> None:
    assert printable("naïve 中文\n\tx = 1 👩‍🚀") == "naïve 中文\n\tx = 1 👩‍🚀"


def test_a_doubtful_token_has_another_colour_than_a_certain_one() -> None:
    assert certainty_style(0.0) == certainty_style(1e-4)
    assert certainty_style(0.0) != certainty_style(1.0) != certainty_style(8.0)


@given(st.lists(st.tuples(st.text(max_size=4), st.floats(0, 12)), max_size=20))
def test_painting_loses_no_letter(rows: list[tuple[str, float]]) -> None:
    pieces, entropies = [piece for piece, _ in rows], [entropy for _, entropy in rows]
    assert paint(pieces, entropies).plain == printable("".join(pieces))


@given(st.text(alphabet="ab\n\t ", max_size=200), st.integers(1, 30), st.integers(1, 9))
def test_what_is_fitted_fits(text: str, width: int, height: int) -> None:
    rows = fit(Text(text), width=width, height=height).plain.split("\n")
    assert len(rows) <= height
    assert all(len(row) <= width for row in rows)


def test_fitting_folds_long_lines_and_keeps_short_ones() -> None:
    assert fit(Text("abcdef\n\ng"), width=4, height=9).plain == "abcd\nef\n\ng"


def test_settled_is_the_share_of_certain_tokens() -> None:
    canvas = Canvas(pieces="abcd", shown="abcd", entropies=[0.0, 0.01, 2.0, 5.0])
    assert canvas.settled == 0.5


def test_the_legend_runs_from_unsure_to_certain() -> None:
    assert legend().plain.startswith("unsure")
    assert legend().plain.endswith("certain")
