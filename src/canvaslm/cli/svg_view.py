"""An SVG drawing in the terminal: two pixels to a character, as far as the source can be read."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.text import Text

Pixels = npt.NDArray[np.float64]  # [rows, columns, 3], 0 to 255
Mask = npt.NDArray[np.bool_]

_PAPER = (246.0, 243.0, 236.0)
_COLOURS = {
    "red": (214, 45, 48),
    "orange": (240, 140, 30),
    "yellow": (250, 210, 50),
    "green": (46, 150, 76),
    "blue": (44, 98, 200),
    "purple": (128, 60, 160),
    "pink": (246, 150, 180),
    "brown": (130, 82, 44),
    "black": (30, 30, 34),
    "gray": (140, 140, 146),
    "white": (255, 255, 255),
}
_VIEW_BOX = 96.0
_SAMPLES = 3  # per pixel and axis, for soft edges
_ELEMENT = re.compile(r"<(circle|rect|polygon)\b([^<>]*)>")
_ATTRIBUTE = re.compile(r'([a-z-]+)="([^"<>]*)"')


def rasterise(source: str, size: int) -> Pixels:
    """The filled circles, rectangles and polygons of `source` on a square of `size` pixels.

    An element that cannot be read is left out: the source may be half noise.
    """
    fine = size * _SAMPLES
    ticks = (np.arange(fine, dtype=np.float64) + 0.5) * (_VIEW_BOX / fine)
    x, y = ticks[None, :], ticks[:, None]
    image = np.empty((fine, fine, 3))
    image[:] = _PAPER
    for kind, written in _ELEMENT.findall(source):
        attributes = dict(_ATTRIBUTE.findall(written))
        colour = _COLOURS.get(attributes.get("fill", ""))
        try:
            inside = _SHAPES[kind](attributes, x, y)
        except (KeyError, ValueError):
            continue
        if colour is not None:
            image[np.broadcast_to(inside, (fine, fine))] = colour
    blocks: Pixels = image.reshape(size, _SAMPLES, size, _SAMPLES, 3).mean(axis=(1, 3))
    return blocks


def draw(source: str, *, size: int) -> Text:
    """`source` as `size` columns and `size` / 2 rows of half blocks."""
    pixels = rasterise(source, size).round().astype(int)
    text = Text(no_wrap=True)
    for row in range(0, size - 1, 2):
        columns = zip(pixels[row].tolist(), pixels[row + 1].tolist(), strict=True)
        # One style for a run of equal columns: a terminal tears what takes long to write.
        for (upper, lower), run in groupby(columns):
            style = Style(color=_colour(upper), bgcolor=_colour(lower))
            text.append("▀" * len(list(run)), style)
        if row + 2 < size - 1:
            text.append("\n")
    return text


def _colour(pixel: Sequence[int]) -> Color:
    red, green, blue = pixel
    return Color.from_triplet(ColorTriplet(red, green, blue))


def _circle(attributes: Mapping[str, str], x: Pixels, y: Pixels) -> Mask:
    cx, cy, r = (float(attributes[name]) for name in ("cx", "cy", "r"))
    inside: Mask = (x - cx) ** 2 + (y - cy) ** 2 <= r * r
    return inside


def _rect(attributes: Mapping[str, str], x: Pixels, y: Pixels) -> Mask:
    left, top, width, height = (float(attributes[n]) for n in ("x", "y", "width", "height"))
    inside: Mask = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
    return inside


def _polygon(attributes: Mapping[str, str], x: Pixels, y: Pixels) -> Mask:
    numbers = [float(number) for number in re.split("[ ,]+", attributes["points"].strip())]
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("a polygon needs three points or more")
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    inside: Mask = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


_SHAPES: dict[str, Callable[[Mapping[str, str], Pixels, Pixels], Mask]] = {
    "circle": _circle,
    "rect": _rect,
    "polygon": _polygon,
}
