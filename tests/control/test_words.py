"""Words are found in a stream as a plain search finds them."""

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.control.words import Finder, Words

WORD = st.lists(st.integers(0, 2), min_size=1, max_size=4)


@given(st.lists(WORD, min_size=1, max_size=5), st.lists(st.integers(0, 2), max_size=30))
def test_the_longest_word_that_ends_at_each_place_is_told(
    words: list[list[int]], stream: list[int]
) -> None:
    finder = Finder(Words(words))
    for place, symbol in enumerate(stream):
        length = finder.push(symbol, place)
        read = stream[: place + 1]
        assert length == max((len(w) for w in words if read[-len(w) :] == w), default=0)
        if length:
            assert finder.origin(length) == place + 1 - length


@given(st.lists(WORD, min_size=1, max_size=5), st.lists(st.integers(0, 2), max_size=30))
def test_what_may_begin_a_word_is_pending(words: list[list[int]], stream: list[int]) -> None:
    finder = Finder(Words(words))
    for place, symbol in enumerate(stream):
        finder.push(symbol, place)
    beginnings = [w[:n] for w in words for n in range(1, len(w) + 1)]
    assert finder.pending == max(
        (len(b) for b in beginnings if stream[len(stream) - len(b) :] == b), default=0
    )


def test_a_fork_goes_its_own_way() -> None:
    finder = Finder(Words([[1, 2]]))
    finder.push(1, 0)
    fork = finder.fork()
    assert finder.push(3, 1) == 0
    assert fork.push(2, 1) == 2
    assert fork.origin(2) == 0
