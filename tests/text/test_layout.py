"""Vocabulary entries to bytes."""

import pytest
from tokenizers import decoders

from canvaslm.errors import CheckpointError
from canvaslm.text.layout import byte_fallback, byte_letters, byte_level, choose_layout


def test_letters_stand_for_every_byte_once():
    assert sorted(byte_letters().values()) == list(range(256))


def test_letters_are_those_of_the_library():
    decoder = decoders.ByteLevel()
    for letter, byte in byte_letters().items():
        assert decoder.decode([letter]) == bytes([byte]).decode(errors="replace")


def test_byte_level_takes_an_entry_that_is_no_letters_as_text():
    assert byte_level("Ġhi") == b" hi"
    assert byte_level("a b") == b"a b"


def test_byte_fallback_reads_bytes_and_spaces():
    assert byte_fallback("<0xE4>") == b"\xe4"
    assert byte_fallback("▁▁a") == b"  a"
    assert byte_fallback("<0xE4>x") == b"<0xE4>x"


def test_a_layout_that_changes_the_text_otherwise_is_refused():
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    strips = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    for decoder in (None, decoders.WordPiece(), strips):
        with pytest.raises(CheckpointError, match="has the decoder"):
            choose_layout(decoder)
