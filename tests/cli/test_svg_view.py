"""SVG drawings as pixels and half blocks."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.cli.svg_view import draw, rasterise
from canvaslm.tasks.scenes import COLOURS, PLACES, Scenes, Shape
from canvaslm.tasks.scenes import draw as source_of

RED = (214, 45, 48)


@pytest.mark.parametrize("kind", ["circle", "square", "triangle"])
@pytest.mark.parametrize("place", PLACES)
def test_a_shape_covers_its_place_and_nothing_far_from_it(kind: str, place: str) -> None:
    svg = source_of([Shape(kind=kind, colour="red", size="large", place=place)])
    pixels = rasterise(svg, 48)
    x, y = PLACES[place]
    assert tuple(pixels[y // 2, x // 2]) == RED
    rows, columns = np.where((pixels == RED).all(axis=-1))
    assert np.abs(rows * 2 - y).max() <= 13
    assert np.abs(columns * 2 - x).max() <= 13


def test_every_colour_of_the_task_is_drawn_in_its_own() -> None:
    def seen(colour: str) -> tuple[float, ...]:
        svg = source_of([Shape(kind="square", colour=colour, size="large", place="center")])
        return tuple(rasterise(svg, 32)[16, 16])

    assert len({seen(colour) for colour in COLOURS}) == len(COLOURS)


def test_a_later_shape_lies_on_top() -> None:
    circle = '<circle cx="48" cy="48" r="20" fill="blue"/>'
    square = '<rect x="40" y="40" width="16" height="16" fill="red"/>'
    assert tuple(rasterise(circle + square, 48)[24, 24]) == RED


@given(st.text(alphabet='<>/="circlerectpolygonfillpointsxywidthheight 0189.,-\n', max_size=300))
def test_noise_draws_something_or_nothing_but_never_fails(noise: str) -> None:
    assert rasterise(noise, 8).shape == (8, 8, 3)


@given(st.integers(0, 200), st.data())
def test_a_damaged_drawing_never_fails(seed: int, data: st.DataObject) -> None:
    svg = list(Scenes().sample(random.Random(seed), split="test").answer)
    for place in data.draw(st.lists(st.integers(0, len(svg) - 1), max_size=9)):
        svg[place] = data.draw(st.sampled_from('0x"<> .,'))
    assert np.isfinite(rasterise("".join(svg), 8)).all()


def test_half_blocks_make_a_square_picture() -> None:
    rows = draw("", size=32).plain.split("\n")
    assert [len(row) for row in rows] == [32] * 16
