"""A canvas in the terminal: each token coloured by how certain the model is of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.text import Text

SURE = 0.1
"""Nats below which the model is all but certain of a token."""

_ANCHORS = ((118, 106, 142), (214, 140, 50), (56, 178, 112))
"""Unsure, half sure, sure: violet, amber, green, legible on light and on dark backgrounds."""

_LEVELS = 16
_UNSAFE = {
    code: "·"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
} | {0xFFFD: "·"}


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """One moment of a canvas of L tokens, as pieces of text and doubt."""

    pieces: Sequence[str]  # [L] the likeliest
    shown: Sequence[str]  # [L] the same, or the noise that stands in its place
    entropies: Sequence[float]  # [L] nats

    @property
    def settled(self) -> float:
        """The share of tokens that the model is all but certain of."""
        return sum(entropy < SURE for entropy in self.entropies) / max(1, len(self.entropies))


def printable(text: str) -> str:
    """`text` with terminal controls and text-direction overrides shown as dots.

    What a model writes may hold escape sequences, and a terminal would obey them.
    """
    return text.translate(_UNSAFE)


def certainty_style(entropy: float) -> Style:
    """The colour of a token whose distribution has `entropy` nats: 0 is certain."""
    certainty = math.exp(-max(0.0, entropy))
    return _style(round(certainty * (_LEVELS - 1)))


@lru_cache(maxsize=_LEVELS)
def _style(level: int) -> Style:
    place = level / (_LEVELS - 1) * (len(_ANCHORS) - 1)
    left = min(int(place), len(_ANCHORS) - 2)
    mix = place - left
    pairs = zip(_ANCHORS[left], _ANCHORS[left + 1], strict=True)
    red, green, blue = (round(a + (b - a) * mix) for a, b in pairs)
    return Style(color=Color.from_triplet(ColorTriplet(red, green, blue)))


def paint(pieces: Sequence[str], entropies: Sequence[float]) -> Text:
    """The canvas as running text: `pieces` [L] of text, coloured by `entropies` [L] in nats."""
    text = Text()
    for piece, entropy in zip(pieces, entropies, strict=True):
        text.append(printable(piece), certainty_style(entropy))
    return text


def fit(text: Text, *, width: int, height: int) -> Text:
    """`text` cut to a box, long lines folded: a canvas of noise must not make the screen jump."""
    rows: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        line.expand_tabs(4)
        rows += [line[start : start + width] for start in range(0, max(1, len(line)), width)]
        if len(rows) >= height:
            break
    return Text("\n", no_wrap=True, overflow="crop").join(rows[:height])


def legend() -> Text:
    """The colour scale, from unsure to certain."""
    text = Text().append("unsure ", "dim")
    for level in range(_LEVELS):
        text.append("━", _style(level))
    return text.append(" certain", "dim")
