"""Ranges of numbers as languages of their decimal digits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from canvaslm.control.language.letters import ranges
from canvaslm.control.language.nodes import (
    EMPTY,
    NOTHING,
    Letters,
    Node,
    Text,
    both,
    chain,
    either,
    graph,
    optional,
    repeat,
)

INTEGER_DIGITS = 19  # as 64-bit integers have
FRACTION_DIGITS = 17  # as distinguish doubles
_EXACT_DIGITS = 15  # decimals of so many digits stay in order when read as doubles
MAX_MULTIPLE = 1000


@dataclass(frozen=True)
class Bounds:
    """An interval; None is no bound, and `above` and `below` leave the bound itself out."""

    least: Decimal | None = None
    most: Decimal | None = None
    above: bool = False
    below: bool = False

    @property
    def empty(self) -> bool:
        if self.least is None or self.most is None:
            return False
        return self.least > self.most or (self.least == self.most and (self.above or self.below))

    @property
    def open(self) -> bool:
        return self.least is None and self.most is None

    def mirrored(self) -> Bounds:
        """The same interval of the negated numbers."""
        least = None if self.most is None else -self.most
        most = None if self.least is None else -self.least
        return Bounds(least, most, self.below, self.above)

    def places(self) -> int:
        """The most digits that a bound has before its point."""
        known = [abs(b) for b in (self.least, self.most) if b is not None]
        return max((len(str(int(b))) for b in known), default=0)


def integer(bounds: Bounds, *, multiple: int = 1) -> Node:
    """Integers within `bounds`, without leading zeros; -0 is none. 19 digits unless bounds have
    more; `multiple` keeps multiples of it only, up to MAX_MULTIPLE.
    """
    digits = max(INTEGER_DIGITS, bounds.places())
    whole = either(
        [_naturals(bounds, digits, zero=True), chain("-", _naturals(bounds.mirrored(), digits))]
    )
    return whole if multiple == 1 else both(_multiples(multiple), whole)


def number(bounds: Bounds) -> Node:
    """Decimal numbers within `bounds`; with an exponent of two digits where there are none.

    Beside bounds so few digits are written that reading them as doubles keeps them in order.
    """
    if bounds.open:
        whole = either(["0", chain(_digit(1, 9), repeat(_DIGIT, 0, INTEGER_DIGITS - 1))])
        sign = optional(either("+-"))
        power = optional(chain(either("eE"), sign, repeat(_DIGIT, 1, 2)))
        return chain(optional(Text("-")), whole, _fraction(FRACTION_DIGITS), power)
    negative = _decimals(bounds.mirrored(), zero=False)
    return either([_decimals(bounds, zero=True), chain("-", negative)])


def _digit(low: int, high: int) -> Node:
    return Letters(ranges([(ord("0") + low, ord("0") + high)])) if low <= high else NOTHING


_DIGIT = _digit(0, 9)
_DIGITS = repeat(_DIGIT)


def _fraction(most: int) -> Node:
    return optional(chain(".", repeat(_DIGIT, 1, most))) if most else EMPTY


def _naturals(bounds: Bounds, digits: int, *, zero: bool = False) -> Node:
    """Integers of `bounds` from 0, or from 1, of at most `digits` digits."""
    low, high = 0 if zero else 1, 10**digits - 1
    if bounds.least is not None:
        low = max(low, _round_up(bounds.least, strict=bounds.above))
    if bounds.most is not None:
        high = min(high, -_round_up(-bounds.most, strict=bounds.below))
    return _between(low, high)


def _round_up(bound: Decimal, *, strict: bool) -> int:
    """The least integer that is at least, or greater than, `bound`."""
    whole = int(bound.to_integral_value(rounding="ROUND_CEILING"))
    return whole + (strict and whole == bound)


def _between(low: int, high: int) -> Node:
    """low to high, 0 or more, length by length."""
    if low > high:
        return NOTHING
    parts = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        parts.append(_same_length(str(first), str(min(high, 10**length - 1))))
    return either(parts)


def _same_length(low: str, high: str) -> Node:
    if not low:
        return EMPTY
    a, b, rest = int(low[0]), int(high[0]), len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return chain(_digit(a, b), repeat(_DIGIT, rest, rest))
    if a == b:
        return chain(low[0], _same_length(low[1:], high[1:]))
    return either(
        [
            chain(low[0], _same_length(low[1:], "9" * rest)),
            chain(_digit(a + 1, b - 1), repeat(_DIGIT, rest, rest)),
            chain(high[0], _same_length("0" * rest, high[1:])),
        ]
    )


def _multiples(step: int) -> Node:
    """Decimal integers that `step` divides: state 1 + r has read a number of remainder r."""
    edges: list[tuple[int, Node, int]] = [(0, _digit(d, d), 1 + d % step) for d in range(10)]
    edges += [
        (1 + r, _digit(d, d), 1 + (10 * r + d) % step) for r in range(step) for d in range(10)
    ]
    return chain(optional(Text("-")), graph(edges, [1]))


def _decimals(bounds: Bounds, *, zero: bool) -> Node:
    """Decimals of `bounds` from 0, or greater than 0, without sign."""
    digits = max(INTEGER_DIGITS, bounds.places())
    exact = _EXACT_DIGITS - bounds.places()
    written = chain(_between(0, 10**digits - 1), _fraction(max(0, min(FRACTION_DIGITS, exact))))
    least, above = bounds.least, bounds.above
    if least is None or least < 0:
        least, above = Decimal(0), not zero
    elif least == 0 and not zero:
        above = True
    found = both(_at_least(least, digits, strict=above), written)
    if bounds.most is None:
        return found
    if bounds.most < 0:
        return NOTHING
    return both(_at_most(bounds.most, strict=bounds.below), found)


def _split(bound: Decimal) -> tuple[int, str]:
    """Digits before the point as a number, and those behind it without closing zeros."""
    whole, _, rest = f"{bound:f}".partition(".")
    return int(whole), rest.rstrip("0")


_ANY_FRACTION = optional(chain(".", repeat(_DIGIT, 1)))
_SOME_MORE = chain(repeat(Text("0")), _digit(1, 9), _DIGITS)


def _at_least(bound: Decimal, digits: int, *, strict: bool) -> Node:
    whole, rest = _split(bound)
    if rest:
        greater = [chain(rest[:n], _digit(int(d) + 1, 9), _DIGITS) for n, d in enumerate(rest)]
        tail = chain(".", either([*greater, chain(rest, _SOME_MORE if strict else _DIGITS)]))
    else:
        tail = chain(".", _SOME_MORE) if strict else _ANY_FRACTION
    longer = chain(_between(whole + 1, 10**digits - 1), _ANY_FRACTION)
    return either([longer, chain(str(whole), tail)])


def _at_most(bound: Decimal, *, strict: bool) -> Node:
    whole, rest = _split(bound)
    zeros = repeat(Text("0"))
    if rest:
        smaller = [chain(rest[:n], _digit(0, int(d) - 1), _DIGITS) for n, d in enumerate(rest)]
        shorter: list[Node] = [Text(rest[:n]) for n in range(1, len(rest))]
        same = [] if strict else [chain(rest, zeros)]
        tail = optional(chain(".", either([*smaller, *shorter, *same])))
    else:
        tail = NOTHING if strict else optional(chain(".", repeat(Text("0"), 1)))
    return either([chain(_between(0, whole - 1), _ANY_FRACTION), chain(str(whole), tail)])
