"""What bytes a vocabulary entry stands for, in the two layouts of tokenizer.json in use."""

import re
from collections.abc import Callable

from tokenizers import decoders

from canvaslm.errors import CheckpointError

Layout = Callable[[str], bytes]
"""Vocabulary entry -> the bytes it adds to a text."""

_BYTE_ENTRY = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_letters() -> dict[str, int]:
    """The letter that byte-level BPE writes for each byte: printable ones stand for themselves.

    The other 68 take the letters from U+0100 on, in order (GPT-2, Radford et al. 2019).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + n): byte for n, byte in enumerate(hidden)}


_LETTERS = byte_letters()


def byte_level(entry: str) -> bytes:
    """Byte-level BPE: each letter stands for one byte. Any other entry is its own UTF-8."""
    try:
        return bytes(_LETTERS[letter] for letter in entry)
    except KeyError:
        return entry.encode()


def byte_fallback(entry: str) -> bytes:
    """Gemma: `▁` is a space, `<0xE4>` one byte, the rest UTF-8."""
    if match := _BYTE_ENTRY.fullmatch(entry):
        return bytes([int(match[1], 16)])
    return entry.replace("▁", " ").encode()


def choose_layout(decoder: decoders.Decoder | None) -> Layout:
    """The layout that agrees with what `decoder` does. Raises CheckpointError for any other."""
    if decoder is not None:
        if decoder.decode(["Ġa", "Ċ", "Ã", "©"]) == " a\né":
            return byte_level
        if decoder.decode(["▁a", "\n", "<0xC3>", "<0xA9>"]) == " a\né":
            return byte_fallback
    raise CheckpointError(
        f"tokenizer.json has the decoder {decoder}, expected byte-level BPE (ByteLevel) or Gemma's"
        " (Replace '▁', ByteFallback, Fuse): save the tokenizer in one of these layouts"
    )
