"""Drawings are read back as what was drawn, and nothing else is read at all."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.tasks.scenes import (
    COLOURS,
    KINDS,
    PLACES,
    SIZES,
    Scenes,
    Shape,
    canonical,
    draw,
    read_svg,
)

TASK = Scenes()
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">'
CIRCLE = '<circle cx="16" cy="16" r="12" fill="red"/>'

shapes = st.builds(
    Shape,
    kind=st.sampled_from(KINDS),
    colour=st.sampled_from(COLOURS),
    size=st.sampled_from(tuple(SIZES)),
    place=st.sampled_from(tuple(PLACES)),
)
scenes = st.lists(shapes, min_size=1, max_size=4, unique_by=lambda shape: shape.place)


def svg(*elements: str) -> str:
    return "\n".join((HEAD, *elements, "</svg>"))


def test_the_drawing_is_exactly_this() -> None:
    scene = [
        Shape(kind="circle", colour="red", size="large", place="top left"),
        Shape(kind="square", colour="blue", size="small", place="center"),
        Shape(kind="triangle", colour="green", size="medium", place="bottom right"),
    ]
    assert draw(scene) == svg(
        CIRCLE,
        '<rect x="40" y="40" width="16" height="16" fill="blue"/>',
        '<polygon points="80,70 90,90 70,90" fill="green"/>',
    )


@given(scenes)
def test_what_is_drawn_is_read_back(scene: list[Shape]) -> None:
    assert read_svg(draw(scene)) == frozenset(scene)


@given(scenes, st.randoms())
def test_order_matters_neither_to_reading_nor_to_the_case(
    scene: list[Shape], random: random.Random
) -> None:
    other = random.sample(scene, len(scene))
    assert read_svg(draw(other)) == read_svg(draw(scene))
    assert canonical(other) == canonical(scene)


def test_the_description_says_every_shape_in_drawing_order(rng: random.Random) -> None:
    for _ in range(200):
        example = TASK.sample(rng, split="train")
        said = re.findall(r"a (\w+) (\w+) (circle|square|triangle)", example.prompt)
        drawn = re.findall(r'fill="(\w+)"', example.answer)
        assert [colour for _, colour, _ in said] == drawn
        assert len(said) == int(example.bin)
        assert {(size, colour, kind) for size, colour, kind in said} == {
            (shape.size, shape.colour, shape.kind) for shape in read_svg(example.answer)
        }


def test_a_partly_right_drawing_is_wrong_and_measured(rng: random.Random) -> None:
    example = TASK.sample(rng, split="train", bin="4")
    lines = example.answer.split("\n")
    score = TASK.score(example, "\n".join([*lines[:2], *lines[3:]]))
    assert (score.correct, score.details["valid"], score.details["shapes"]) == (False, 1.0, 0.75)


def test_one_changed_attribute_is_wrong(rng: random.Random) -> None:
    for _ in range(50):
        example = TASK.sample(rng, split="train", bin="2")
        for old in re.findall(r'fill="(\w+)"', example.answer):
            changed = example.answer.replace(f'"{old}"', '"red"' if old != "red" else '"blue"')
            assert not TASK.score(example, changed).correct


def test_small_slips_of_place_are_forgiven() -> None:
    moved = svg('<circle cx="20" cy="11" r="12" fill="red"/>')
    assert read_svg(moved) == read_svg(svg(CIRCLE))


BOMB = "<!DOCTYPE svg [" + "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "draw it yourself",
        HEAD,
        CIRCLE,
        svg(CIRCLE).replace(' xmlns="http://www.w3.org/2000/svg"', ""),
        svg(CIRCLE).replace("0 0 96 96", "0 0 960 960"),
        svg(CIRCLE).replace("<svg", '<svg onload="alert(1)"'),
        svg(CIRCLE, CIRCLE),
        svg("hello", CIRCLE),
        svg(CIRCLE, "hello"),
        svg("<!-- a comment -->", CIRCLE),
        svg("<script>alert(1)</script>"),
        svg(f"<g>{CIRCLE}</g>"),
        svg('<image href="file:///etc/passwd"/>'),
        svg('<circle cx="16" cy="16" r="12" fill="url(http://example.com)"/>'),
        svg('<circle cx="16" cy="16" r="12" fill="red" onclick="alert(1)"/>'),
        svg('<circle cx="16" cy="16" r="12" fill="red"><title>x</title></circle>'),
        svg('<circle cx="16" cy="16" fill="red"/>'),
        svg('<circle cx="16 17" cy="16" r="12" fill="red"/>'),
        svg('<circle cx="nan" cy="16" r="12" fill="red"/>'),
        svg('<circle cx="1e9" cy="16" r="12" fill="red"/>'),
        svg('<circle cx="16" cy="16" r="11" fill="red"/>'),
        svg('<circle cx="16" cy="16" r="12" fill="teal"/>'),
        svg('<circle xmlns="" cx="16" cy="16" r="12" fill="red"/>'),
        svg('<rect x="40" y="40" width="16" height="20" fill="blue"/>'),
        svg('<polygon points="80,70 90,90" fill="green"/>'),
        svg('<polygon points="80,70 90,90 60,90" fill="green"/>'),
        svg('<polygon points="80,70 90,90 70,90 70,80" fill="green"/>'),
        '<?xml version="1.0"?>' + svg(CIRCLE),
        '<!DOCTYPE svg SYSTEM "file:///etc/passwd">' + svg(CIRCLE),
        BOMB + "]>" + svg(CIRCLE).replace("red", "&e9;"),
        svg(CIRCLE) + svg(CIRCLE),
        svg(CIRCLE) + " " * 4000,
        svg("<g>" * 1000),
    ],
)
def test_what_is_not_a_plain_drawing_is_refused_quickly(text: str) -> None:
    started = time.perf_counter()
    assert read_svg(text) is None
    assert time.perf_counter() - started < 1
