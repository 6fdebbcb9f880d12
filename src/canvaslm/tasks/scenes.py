"""A description of coloured shapes in English -> the SVG that draws them."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from xml.etree import ElementTree

from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

KINDS = ("circle", "square", "triangle")
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "gray",
)
SIZES = {"small": 8, "medium": 10, "large": 12}
"""Half of the width of a shape, in units of the 96 x 96 view box."""

PLACES = {
    "top left": (16, 16),
    "top": (48, 16),
    "top right": (80, 16),
    "left": (16, 48),
    "center": (48, 48),
    "right": (80, 48),
    "bottom left": (16, 80),
    "bottom": (48, 80),
    "bottom right": (80, 80),
}
"""The centre of each place, x then y (downwards)."""

_PREPOSITIONS = {"left": "on the", "right": "on the", "center": "in the"}
_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">'
_SVG = {"viewBox": "0 0 96 96"}
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LONGEST = 4000

_Numbers = tuple[float, ...]
_Outline = tuple[float, float, float]  # centre x, centre y, half of the width


@dataclass(frozen=True, kw_only=True, order=True)
class Shape:
    """One shape of a scene; every field is a word of the description."""

    kind: str
    colour: str
    size: str
    place: str


class Scenes:
    """The task; a bin is the number of shapes."""

    name: ClassVar[str] = "scenes"
    bins: ClassVar[tuple[str, ...]] = ("1", "2", "3", "4")

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A scene, described in its drawing order."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        while True:
            shapes = random_shapes(rng, int(chosen))
            key = canonical(shapes)
            if split_of(key) == split:
                break
        opening = rng.choice(("Draw: ", "Draw ", "Draw a picture with "))
        return Example(
            task=self.name,
            prompt=f"{opening}{describe(shapes, rng)}.",
            answer=draw(shapes),
            bin=chosen,
            canonical=key,
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` draws exactly the shapes asked for, in any order."""
        wanted = read_svg(example.answer) or frozenset()
        found = read_svg(text)
        if found is None:
            return Score(correct=False, details={"valid": 0.0, "shapes": 0.0})
        right = len(found & wanted) / max(len(found), len(wanted))
        return Score(correct=found == wanted, details={"valid": 1.0, "shapes": right})


def random_shapes(rng: random.Random, count: int) -> tuple[Shape, ...]:
    """`count` random shapes at different places."""
    return tuple(
        Shape(
            kind=rng.choice(KINDS),
            colour=rng.choice(COLOURS),
            size=rng.choice(tuple(SIZES)),
            place=place,
        )
        for place in rng.sample(tuple(PLACES), count)
    )


def canonical(shapes: Sequence[Shape]) -> str:
    """The scene without the order in which it is told."""
    return "; ".join(sorted(f"{s.kind} {s.colour} {s.size} {s.place}" for s in shapes))


def describe(shapes: Sequence[Shape], rng: random.Random) -> str:
    """The shapes in the given order, one clause each, without a full stop."""
    place_first = rng.random() < 0.25
    clauses = [_clause(shape, place_first) for shape in shapes]
    if len(clauses) == 1:
        return clauses[0]
    return ", ".join(clauses[:-1]) + " and " + clauses[-1]


def _clause(shape: Shape, place_first: bool) -> str:
    thing = f"a {shape.size} {shape.colour} {shape.kind}"
    where = place_phrase(shape.place)
    return f"{where} {thing}" if place_first else f"{thing} {where}"


def place_phrase(place: str) -> str:
    """A place as an adverbial: "at the top left", "in the center"."""
    return f"{_PREPOSITIONS.get(place, 'at the')} {place}"


def draw(shapes: Sequence[Shape]) -> str:
    """The SVG of the scene, one element a line."""
    return "\n".join((_HEAD, *map(_element, shapes), "</svg>"))


def _element(shape: Shape) -> str:
    (x, y), half, fill = PLACES[shape.place], SIZES[shape.size], f'fill="{shape.colour}"/>'
    left, right, top, bottom = x - half, x + half, y - half, y + half
    if shape.kind == "circle":
        return f'<circle cx="{x}" cy="{y}" r="{half}" {fill}'
    if shape.kind == "square":
        return f'<rect x="{left}" y="{top}" width="{2 * half}" height="{2 * half}" {fill}'
    return f'<polygon points="{x},{top} {right},{bottom} {left},{bottom}" {fill}'


def read_svg(text: str) -> frozenset[Shape] | None:
    """The shapes an SVG draws, each at its nearest place; None if it is not one we can read.

    Anything but plain, filled circles, squares and triangles in one <svg> is refused, and so are
    long texts and document types, before the parser sees them: the text is a model's.
    """
    if len(text) > _LONGEST or "<!" in text or "<?" in text or "&" in text:
        return None
    try:
        root = ElementTree.fromstring(text.strip())
        if root.tag != f"{_NAMESPACE}svg" or root.attrib != _SVG or (root.text or "").strip():
            return None
        shapes = [_shape(element) for element in root]
    except (ElementTree.ParseError, ValueError, KeyError):
        return None
    # The same shape drawn twice is not the scene, though the set would not show it.
    return frozenset(shapes) if len(set(shapes)) == len(shapes) else None


def _shape(element: ElementTree.Element) -> Shape:
    """Read one element. Raises KeyError or ValueError if it is not a shape of this task."""
    if len(element) or (element.text or "").strip() or (element.tail or "").strip():
        raise ValueError("a shape has no content")
    kind, names, outline = _ELEMENTS[element.tag]
    values = dict(element.attrib)
    colour = values.pop("fill")
    if colour not in COLOURS or set(values) != set(names):
        raise ValueError(f"attributes {sorted(element.attrib)} do not make a {kind}")
    x, y, half = outline(*(_numbers(values[name]) for name in names))
    size = next((name for name, value in SIZES.items() if value == half), None)
    if size is None:
        raise ValueError(f"no size is {half}")
    place = min(PLACES, key=lambda name: (PLACES[name][0] - x) ** 2 + (PLACES[name][1] - y) ** 2)
    return Shape(kind=kind, colour=colour, size=size, place=place)


def _numbers(text: str) -> tuple[float, ...]:
    if not re.fullmatch(r"[0-9]{1,3}([ ,]+[0-9]{1,3})*", text):
        raise ValueError(f"not coordinates: {text!r}")
    return tuple(map(float, re.split("[ ,]+", text)))


def _circle(cx: _Numbers, cy: _Numbers, r: _Numbers) -> _Outline:
    (x,), (y,), (half,) = cx, cy, r
    return x, y, half


def _square(x: _Numbers, y: _Numbers, width: _Numbers, height: _Numbers) -> _Outline:
    (left,), (top,), (side,) = x, y, width
    if width != height:
        raise ValueError("a rectangle, not a square")
    return left + side / 2, top + side / 2, side / 2


def _triangle(points: _Numbers) -> _Outline:
    x, top, right, bottom, left, base = points
    half = (right - left) / 2
    if (bottom, right, bottom) != (base, x + half, top + 2 * half):
        raise ValueError("not the triangle of this task")
    return x, top + half, half


_ELEMENTS: dict[str, tuple[str, tuple[str, ...], Callable[..., _Outline]]] = {
    f"{_NAMESPACE}circle": ("circle", ("cx", "cy", "r"), _circle),
    f"{_NAMESPACE}rect": ("square", ("x", "y", "width", "height"), _square),
    f"{_NAMESPACE}polygon": ("triangle", ("points",), _triangle),
}
