"""Questions about a described scene, answered with one word."""

import random
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from canvaslm.tasks.scenes import (
    COLOURS,
    KINDS,
    PLACES,
    SIZES,
    Shape,
    canonical,
    describe,
    place_phrase,
    random_shapes,
)
from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

_Scene = Sequence[Shape]
_Question = tuple[str, str]  # the question, its one-word answer


class Ask:
    """The task; a bin is a kind of question."""

    name: ClassVar[str] = "ask"
    bins: ClassVar[tuple[str, ...]] = ("yes/no", "choice")

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A scene of 2 to 4 shapes and a question that it answers; yes and no are as likely."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        if chosen == "yes/no":
            form, wanted = rng.choice(_YES_NO), rng.choice(("yes", "no"))
        else:
            form, wanted = rng.choice(_CHOICES), None
        while True:
            shapes = random_shapes(rng, rng.randint(2, 4))
            asked = form(shapes, rng)
            if asked is None or (wanted is not None and asked[1] != wanted):
                continue
            question, answer = asked
            key = f"{canonical(shapes)} | {question}"
            if split_of(key) == split:
                break
        return Example(
            task=self.name,
            prompt=f"Look: {describe(shapes, rng)}.\n{question}",
            answer=answer,
            bin=chosen,
            canonical=key,
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` is the word, in any case."""
        right = text.strip().lower() == example.answer
        return Score(correct=right, details={"exact": float(right)})


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _is_there_colour_kind(shapes: _Scene, rng: random.Random) -> _Question:
    colour, kind = _mixed(shapes, rng, "colour"), _mixed(shapes, rng, "kind")
    there = any(s.colour == colour and s.kind == kind for s in shapes)
    article = "an" if colour == "orange" else "a"
    return f"Is there {article} {colour} {kind}?", _yes(there)


def _is_there_size_kind(shapes: _Scene, rng: random.Random) -> _Question:
    size, kind = rng.choice(tuple(SIZES)), _mixed(shapes, rng, "kind")
    there = any(s.size == size and s.kind == kind for s in shapes)
    return f"Is there a {size} {kind}?", _yes(there)


def _is_there_size(shapes: _Scene, rng: random.Random) -> _Question:
    size = rng.choice(tuple(SIZES))
    return f"Is there a {size} shape?", _yes(any(s.size == size for s in shapes))


def _is_place_taken(shapes: _Scene, rng: random.Random) -> _Question | None:
    place = _mixed(shapes, rng, "place")
    if not _clear(place, shapes):
        return None
    taken = any(s.place == place for s in shapes)
    return f"Is there a shape {place_phrase(place)}?", _yes(taken)


def _is_at_place(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = _unique(shapes, rng)
    if shape is None:
        return None
    place = _mixed(shapes, rng, "place")
    if not _clear(place, [shape]):
        return None
    return f"Is the {shape.kind} {place_phrase(place)}?", _yes(shape.place == place)


def _is_colour(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = _unique(shapes, rng)
    if shape is None:
        return None
    colour = _mixed(shapes, rng, "colour")
    return f"Is the {shape.kind} {colour}?", _yes(shape.colour == colour)


def _is_beside(shapes: _Scene, rng: random.Random) -> _Question | None:
    one = _unique(shapes, rng)
    other = _unique(shapes, rng)
    if one is None or other is None or one == other:
        return None
    (x, y), (other_x, other_y) = PLACES[one.place], PLACES[other.place]
    relation, truth = rng.choice(
        (
            ("above", y < other_y),
            ("below", y > other_y),
            ("left of", x < other_x),
            ("right of", x > other_x),
        )
    )
    return f"Is the {one.kind} {relation} the {other.kind}?", _yes(truth)


def _which_colour(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = _unique(shapes, rng)
    if shape is None:
        return None
    options = _options(rng, shape.colour, COLOURS, 3)
    return f"What colour is the {shape.kind}? {options}", shape.colour


def _which_size(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = _unique(shapes, rng)
    if shape is None:
        return None
    return f"What size is the {shape.kind}? {_shuffled(rng, SIZES)}", shape.size


def _which_kind_at(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = rng.choice(shapes)
    if not _clear(shape.place, shapes):
        return None
    return f"Which shape is {place_phrase(shape.place)}? {_shuffled(rng, KINDS)}", shape.kind


def _which_colour_at(shapes: _Scene, rng: random.Random) -> _Question | None:
    shape = rng.choice(shapes)
    if not _clear(shape.place, shapes):
        return None
    options = _options(rng, shape.colour, COLOURS, 3)
    return f"What colour is the shape {place_phrase(shape.place)}? {options}", shape.colour


def _how_many(shapes: _Scene, rng: random.Random) -> _Question:
    trait = rng.choice(("colour", "size", "kind"))
    value = _mixed(shapes, rng, trait)
    count = sum(getattr(shape, trait) == value for shape in shapes)
    subject = f"{value}s are there" if trait == "kind" else f"shapes are {value}"
    return f"How many {subject}? 0, 1, 2, 3, 4", str(count)


_Form = Callable[[_Scene, random.Random], _Question | None]

_YES_NO: tuple[_Form, ...] = (
    _is_there_colour_kind,
    _is_there_size_kind,
    _is_there_size,
    _is_place_taken,
    _is_at_place,
    _is_colour,
    _is_beside,
)
_CHOICES: tuple[_Form, ...] = (
    _which_colour,
    _which_size,
    _which_kind_at,
    _which_colour_at,
    _how_many,
)


def _mixed(shapes: _Scene, rng: random.Random, trait: str) -> str:
    """A value of the trait: mostly one that the scene has, so that a "no" is not a giveaway."""
    if rng.random() < 0.75:
        value: str = getattr(rng.choice(shapes), trait)
        return value
    return rng.choice(_VALUES[trait])


_VALUES = {"kind": KINDS, "colour": COLOURS, "size": tuple(SIZES), "place": tuple(PLACES)}


def _unique(shapes: _Scene, rng: random.Random) -> Shape | None:
    """A shape that "the circle" (or square, triangle) names without doubt; None: there is none."""
    kinds = [shape.kind for shape in shapes]
    single = [shape for shape in shapes if kinds.count(shape.kind) == 1]
    return rng.choice(single) if single else None


def _clear(place: str, shapes: _Scene) -> bool:
    """Whether `place` names one place here: "the top" would do for a shape at the top left too."""
    return not any(place in s.place.split() and place != s.place for s in shapes)


def _options(rng: random.Random, right: str, values: Sequence[str], count: int) -> str:
    wrong = rng.sample([value for value in values if value != right], count - 1)
    return _shuffled(rng, [right, *wrong])


def _shuffled(rng: random.Random, options: Collection[str]) -> str:
    return ", ".join(rng.sample([*options], len(options)))
