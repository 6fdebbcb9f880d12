"""Checks of single request parameters: a value of the wrong type or out of range is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from canvaslm.errors import ParameterError

MAX_STOPS = 16
MAX_WORDS = 1024
MAX_BIAS = 100.0


def check_integer(name: str, value: object, *, least: int, below: int | None = None) -> None:
    """A plain int in [least, below); True and False are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}"
        )
    if value < least or (below is not None and value >= below):
        bound = f"at least {least}" if below is None else f"in [{least}, {below})"
        raise ParameterError(f"{name} must be {bound}, got {value}")


def check_number(name: str, value: object, *, above_zero: bool = False) -> None:
    """A finite int or float, not negative, and positive where `above_zero`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterError(
            f"{name} must be a finite number, got {value!r} of type {type(value).__name__}"
        )
    if value < 0 or (above_zero and value == 0):
        raise ParameterError(
            f"{name} must be {'positive' if above_zero else 'at least 0'}, got {value}"
        )


def check_within(name: str, value: object, least: float, most: float) -> None:
    """A number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ParameterError(f"{name} must be a number in [{least:g}, {most:g}], got {value!r}")


def check_flag(name: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise ParameterError(f"{name} must be True or False, got {value!r}")


def check_chosen(name: str, value: object, among: Sequence[str]) -> None:
    """One of the words `among`."""
    if value not in among:
        raise ParameterError(f"{name} must be one of {', '.join(among)}, got {value!r}")


def check_stops(stops: object) -> None:
    """A text, or a list of at most MAX_STOPS texts, none of them empty."""
    listed = [stops] if isinstance(stops, str) else stops
    if not isinstance(listed, Sequence) or isinstance(listed, bytes):
        raise ParameterError(f"stop must be a text or a list of texts, got {stops!r}")
    if len(listed) > MAX_STOPS:
        raise ParameterError(f"stop may hold at most {MAX_STOPS} texts, got {len(listed)}")
    for place, text in enumerate(listed):
        check_text(f"stop[{place}]", text)


def check_words(words: object) -> None:
    """A list of at most MAX_WORDS words, each a text or a list of token ids, none empty."""
    if isinstance(words, str | bytes) or not isinstance(words, Sequence):
        raise ParameterError(
            f"bad_words must be a list of texts or of lists of token ids, got {words!r}"
        )
    if len(words) > MAX_WORDS:
        raise ParameterError(f"bad_words may hold at most {MAX_WORDS} words, got {len(words)}")
    for place, word in enumerate(words):
        if isinstance(word, str):
            check_text(f"bad_words[{place}]", word)
        elif isinstance(word, bytes) or not isinstance(word, Sequence) or not word:
            raise ParameterError(
                f"bad_words[{place}] must be a text or a list of one or more token ids, "
                f"got {word!r}"
            )
        else:
            for id in word:
                check_integer(f"a token of bad_words[{place}]", id, least=0)


def check_text(name: str, text: object) -> None:
    """Text of one or more characters."""
    if not isinstance(text, str) or not text:
        raise ParameterError(f"{name} must be a text of at least 1 character, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"{name} holds a lone surrogate, which is no Unicode text") from None


def check_bias(bias: object) -> None:
    """Token ids, or texts of one token, with numbers in [-MAX_BIAS, MAX_BIAS]."""
    if not isinstance(bias, Mapping):
        raise ParameterError(
            f"logit_bias must map tokens to numbers, got {bias!r} of type {type(bias).__name__}"
        )
    for token, value in bias.items():
        if isinstance(token, str):
            check_text("a token of logit_bias", token)
        else:
            check_integer("a token of logit_bias", token, least=0)
        check_within(f"logit_bias[{token!r}]", value, -MAX_BIAS, MAX_BIAS)
