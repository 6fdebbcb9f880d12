import itertools
import json
import random
import re
from dataclasses import dataclass
from decimal import Decimal

import pytest

from canvaslm.control.language import matches
from canvaslm.control.language.nodes import Node
from canvaslm.control.language.numbers import Bounds, integer, number

INTEGERS = [*range(-1300, 1300), 10**6, -(10**6), 10**18, 10**19]
DECIMALS = ["".join(p) for n in range(1, 6) for p in itertools.product("-.0159", repeat=n)]
DECIMALS = [text for text in DECIMALS if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text)]


@dataclass(frozen=True)
class Number:
    bounds: Bounds
    multiple: int | None = None

    def language(self) -> Node:
        if self.multiple is None:
            return number(self.bounds)
        return integer(self.bounds, multiple=self.multiple)


@pytest.mark.parametrize("seed", range(25))
def test_integers_are_those_of_the_interval(seed: int) -> None:
    rng = random.Random(seed)
    low, high = sorted(rng.choice(INTEGERS[:2600]) for _ in range(2))
    least = None if rng.random() < 0.2 else Decimal(low)
    most = None if rng.random() < 0.2 else Decimal(high) + Decimal(rng.choice(["0", "0.5"]))
    above, below = rng.random() < 0.3, rng.random() < 0.3
    multiple = rng.choice([1, 1, 2, 7, 100])
    bounds = Bounds(least, most, above, below)
    constraint = Number(bounds, multiple)
    expected = {n for n in INTEGERS[:-1] if _inside(Decimal(n), bounds) and n % multiple == 0}
    if expected:
        assert {n for n in INTEGERS if matches(constraint, str(n))} == expected


def test_integers_have_no_other_spelling() -> None:
    constraint = Number(Bounds(), 1)
    for text in ("-0", "01", "+1", "1.0", "1e2", "", "-", "00", "12345678901234567890"):
        assert not matches(constraint, text)


@pytest.mark.parametrize("seed", range(25))
def test_decimals_are_those_of_the_interval(seed: int) -> None:
    rng = random.Random(seed)
    low, high = sorted(Decimal(rng.choice(DECIMALS)) for _ in range(2))
    bounds = Bounds(
        None if rng.random() < 0.2 else low,
        None if rng.random() < 0.2 else high,
        rng.random() < 0.3,
        rng.random() < 0.3,
    )
    constraint = Number(bounds)
    expected = {text for text in DECIMALS if _inside(Decimal(text), bounds)}
    expected -= {text for text in expected if text[0] == "-" and Decimal(text) == 0}
    if expected and not bounds.open:
        assert {text for text in DECIMALS if matches(constraint, text)} == expected


def _inside(value: Decimal, bounds: Bounds) -> bool:
    if bounds.least is not None and (
        value < bounds.least or (bounds.above and value == bounds.least)
    ):
        return False
    return bounds.most is None or value < bounds.most or (value == bounds.most and not bounds.below)


def test_numbers_without_bounds_are_those_of_json_and_finite() -> None:
    constraint = Number(Bounds())
    for text in ("0", "-0", "1.5", "-12e3", "1E+09", "9999999999999999999.0e99"):
        assert matches(constraint, text)
        assert abs(json.loads(text)) < float("inf")
    for text in ("01", ".5", "1.", "1e", "1e100", "Infinity", "+1"):
        assert not matches(constraint, text)


def test_exclusive_bounds_hold_for_what_is_read_as_doubles() -> None:
    constraint = Number(Bounds(Decimal("0.1"), Decimal(5), True, True))
    for digits in range(1, 20):
        for text in ("4." + "9" * digits, "0.1" + "0" * digits + "1", "0.0" + "9" * digits):
            assert not matches(constraint, text) or 0.1 < float(text) < 5
