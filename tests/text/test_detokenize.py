"""Streaming equals decoding at once, and never shows half a character."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from canvaslm.text.detokenize import Stream
from canvaslm.text.tokenizer import Tokenizer


class Counting:
    """A vocabulary of 256 bytes that counts how many ids it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def text_bytes(self, ids):
        ids = list(ids)
        self.asked += len(ids)
        return bytes(ids)


def split(ids: list[int], cuts: list[int]) -> list[list[int]]:
    edges = [0, *sorted(cut % (len(ids) + 1) for cut in cuts), len(ids)]
    return [ids[start:end] for start, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(data=st.data(), cuts=CUTS)
def test_any_ids_in_any_pieces_give_what_decode_gives(tokenizer: Tokenizer, data, cuts):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size + 3), max_size=40))
    stream = Stream(tokenizer)
    pieces = [stream.push(piece) for piece in split(ids, cuts)]
    assert "".join(pieces) + stream.flush() == tokenizer.decode(ids)


@given(data=st.data())
def test_the_real_vocabulary_too(gemma: Tokenizer, data):
    one_byte = st.integers(238, 493)  # <0x00> to <0xFF>
    ids = data.draw(st.lists(st.integers(0, gemma.vocab_size - 1) | one_byte, max_size=40))
    stream = Stream(gemma)
    assert "".join(stream.push([id]) for id in ids) + stream.flush() == gemma.decode(ids)


@given(text=st.text(), cuts=CUTS)
def test_text_never_shows_half_a_character(tokenizer: Tokenizer, text, cuts):
    ids = tokenizer.encode(text, special=False)
    stream = Stream(tokenizer)
    given_so_far = ""
    for piece in split(ids, cuts):
        given_so_far += stream.push(piece)
        assert text.startswith(given_so_far)
    assert given_so_far + stream.flush() == text


@given(data=st.binary(max_size=24))
def test_any_bytes_one_at_a_time_are_decoded_as_all_at_once(data):
    stream = Stream(Counting())
    text = "".join(stream.push([byte]) for byte in data) + stream.flush()
    assert text == data.decode(errors="replace")


def test_a_character_waits_for_its_last_byte():
    stream = Stream(Counting())
    assert [stream.push([byte]) for byte in "中a".encode()] == ["", "", "中", "a"]
    assert stream.flush() == ""


def test_an_unfinished_character_shows_at_the_flush_and_not_after():
    stream = Stream(Counting())
    assert stream.push("é".encode()[:1]) == ""
    assert stream.flush() == "\ufffd"
    assert stream.push(b"e") == "e"


def test_control_tokens_do_not_split_a_character(tokenizer: Tokenizer):
    single = {tokenizer.token_bytes(id): id for id in reversed(range(tokenizer.vocab_size))}
    first, *rest = [single[bytes([byte])] for byte in "中文é".encode()]
    assert Stream(tokenizer).push([first, tokenizer.bos_id, *rest]) == "中文é"


def test_every_id_is_looked_at_once():
    vocabulary = Counting()
    stream = Stream(vocabulary)
    for _ in range(500):
        stream.push([0xE4])
    stream.flush()
    assert vocabulary.asked == 500
