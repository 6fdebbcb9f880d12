"""Nothing of a stop string leaves, however the text comes in pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.control.stops import StopSearch

TEXT = st.text("abc", max_size=30)
STOPS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4)


def plain(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The definition: the string that ends first, of several the longest."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            found = max(ending, key=len)
            return text[: end - len(found)], found
    return text, None


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


@given(TEXT, STOPS, st.lists(st.integers(0, 30), max_size=8))
def test_any_split_gives_the_same_cut(text: str, stops: list[str], cuts: list[int]) -> None:
    search, left = StopSearch(stops), ""
    kept, found = plain(text, stops)
    for number, piece in enumerate(pieces(text, cuts)):
        left += search.push(piece, origin=number)
        assert kept.startswith(left)
    left += search.flush()
    assert (left, search.found) == (kept, found)


@given(TEXT, STOPS)
def test_only_what_may_begin_a_stop_string_is_held_back(text: str, stops: list[str]) -> None:
    search = StopSearch(stops)
    left = search.push(text, origin=0)
    if search.found is None:
        held = text[len(left) :]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_the_origin_is_that_of_the_first_character() -> None:
    search = StopSearch(["END"])
    assert [search.push(piece, origin=n) for n, piece in enumerate(["aE", "bE", "N", "D!"])] == [
        "a",
        "Eb",
        "",
        "",
    ]
    assert (search.found, search.origin) == ("END", 1)
    assert search.push("more", origin=9) == ""
    assert search.flush() == ""
