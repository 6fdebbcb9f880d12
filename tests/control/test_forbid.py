"""Forbidden words are found across tokens, canvases and what stands between them."""

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.control.forbid import Forbidden, Hit, Lexicon
from canvaslm.control.words import Words

PIECES = [b"a", b"b", b"ab", b"ba", b"", b"c"]  # 4 is a control token
OPEN, CLOSE, END = 6, 7, 8
IDS = st.lists(st.integers(0, 5), max_size=12)


def forbidden(
    *, texts: list[bytes] | None = None, ids: list[list[int]] | None = None, limit: int = 99
) -> Forbidden:
    lexicon = Lexicon(
        text=None if texts is None else Words(texts),
        ids=None if ids is None else Words(ids),
        read=lambda id: PIECES[id] if id < len(PIECES) else b"",
        asides={OPEN: CLOSE},
    )
    return Forbidden(lexicon, ends=frozenset({END}), limit=limit)


@given(IDS, IDS, st.binary(min_size=1, max_size=3).map(lambda w: bytes(97 + b % 3 for b in w)))
def test_a_word_is_found_where_the_text_first_has_it(
    said: list[int], canvas: list[int], word: bytes
) -> None:
    words = forbidden(texts=[word])
    if words.find(said) is not None:
        return
    words.commit(said)
    hit = words.find(canvas)
    ends = [
        n for n in range(len(canvas)) if word in b"".join(PIECES[i] for i in said + canvas[: n + 1])
    ]
    assert (None if hit is None else hit.last) == (ends[0] if ends else None)


def test_sequences_of_ids_are_found_across_canvases() -> None:
    words = forbidden(ids=[[0, 1, 2]])
    assert words.find([0, 0, 1, 2, 0]) == Hit(1, 3)
    words.commit([5, 0])
    assert words.find([1, 2]) == Hit(-1, 1)
    assert words.find([1, 5, 2]) is None


def test_what_is_cut_off_is_not_searched() -> None:
    assert forbidden(texts=[b"cc"]).find([5, END, 5, 5]) is None
    assert forbidden(texts=[b"cc"], limit=1).find([5, 5]) is None
    after = forbidden(texts=[b"cc"], limit=3)
    after.commit([0, 0])
    assert after.find([5, 5]) is None


def test_the_answer_is_searched_without_its_thoughts() -> None:
    around = [5, OPEN, 0, CLOSE, 5]
    assert forbidden(texts=[b"cc"]).find(around) == Hit(0, 4)
    assert forbidden(texts=[b"ca"]).find(around) == Hit(0, 2)  # all bytes in their order
    assert forbidden(texts=[b"cb"]).find(around) is None
