"""Reads Python's regular expressions into the language algebra."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from importlib import import_module
from typing import Any

from canvaslm.control.language.letters import (
    EVERY,
    Ranges,
    ascii_set,
    complement,
    intersection,
    letters_of,
    members,
    ranges,
    unicode_set,
)
from canvaslm.control.language.nodes import Letters, Node, chain, either, repeat
from canvaslm.control.language.recursion import nesting
from canvaslm.errors import ConstraintError

# the standard library's own parser has no public name
_parser: Any = import_module("re._parser")

_REFUSED = {
    "ASSERT": ("lookaround", r"\(\?<?=", "spell out what may stand there"),
    "ASSERT_NOT": ("negative lookaround", r"\(\?<?!", "spell out what may stand there"),
    "AT_BOUNDARY": (r"the word boundary \b", r"\\b", "spell out what stands around it"),
    "AT_NON_BOUNDARY": (r"the non-boundary \B", r"\\B", "spell out what stands around it"),
    "GROUPREF": ("a backreference", r"\\[1-9]|\(\?P=", "repeat the group's pattern"),
    "GROUPREF_IGNORE": ("a backreference", r"\\[1-9]|\(\?P=", "repeat the group's pattern"),
    "GROUPREF_EXISTS": ("a conditional group", r"\(\?\(", "write both cases with |"),
    "ATOMIC_GROUP": ("an atomic group", r"\(\?>", "write it as (?:...)"),
    "POSSESSIVE_REPEAT": ("a possessive repeat", r"[*+?}]\+", "leave the second + out"),
}
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:<?[=!]|P=|\(|>)|[*+?}]\+|.", re.DOTALL)
_ALIKE = {"k": 0x212A, "s": 0x17F, "i": 0x131, "I": 0x130}  # what (?i) also takes for them
_NEGATION = (_parser.NEGATE, None)
_CATEGORIES = {"DIGIT": "d", "WORD": "w", "SPACE": "s"}


def parse_regex(
    pattern: str, *, search: bool = False, free: Ranges = EVERY, newlines: str = "\n"
) -> Node:
    r"""The strings that `pattern` matches in full, or, with `search`, somewhere within.

    A set takes what both its ASCII and its Unicode reading take, so that `re` agrees whatever its
    flags: \d is 0-9, and \D is no digit of any script. `free` are the characters around a match,
    and `.` takes all but `newlines`. Raises ConstraintError for what is no pattern, and for
    lookaround, backreferences, word boundaries and the like by name.
    """
    if not isinstance(pattern, str):
        raise ConstraintError(f"a regex must be a string, got {pattern!r}")
    side = _Side.OPEN if search else _Side.EDGE
    reader = _Reader(pattern, free, newlines)
    with nesting("the regex"):
        tree = _parse(pattern)
        reader.check_flags(tree.state.flags)
        return reader.sequence(tree, tree.state.flags, side, side)


def _parse(pattern: str) -> Any:
    try:
        return _parser.parse(pattern)
    except re.error as failure:
        raise ConstraintError(
            f"regex {pattern!r} cannot be read at position {failure.pos}: {failure.msg}"
        ) from None
    except OverflowError as failure:
        raise ConstraintError(f"regex {pattern!r} cannot be read: {failure}") from None


class _Side(Enum):
    """What one end of a part borders on."""

    INNER = "more of the pattern, so that no anchor can stand there"
    EDGE = "the edge of the text"
    OPEN = "the edge of a search: whatever may follow there, unless an anchor stands"


class _Reader:
    """Walks the parser's tree, telling each part what its two ends border on."""

    def __init__(self, pattern: str, free: Ranges, newlines: str) -> None:
        self._pattern = pattern
        self._around = repeat(Letters(free))
        self._dot = complement(letters_of(newlines))

    def check_flags(self, flags: int) -> None:
        if flags & re.MULTILINE:
            raise ConstraintError(
                f"regex {self._pattern!r}: the flag (?m) is not supported: write \\n where a line"
                " may end"
            )

    def sequence(self, items: Sequence[Any], flags: int, first: _Side, last: _Side) -> Node:
        inner = list(items)
        while inner and first is not _Side.INNER and _is_anchor(inner[0], "AT_BEGINNING"):
            inner, first = inner[1:], _Side.EDGE
        while inner and last is not _Side.INNER and _is_anchor(inner[-1], "AT_END"):
            inner, last = inner[:-1], _Side.EDGE
        parts = [
            self._part(
                item,
                flags,
                first if n == 0 else _Side.INNER,
                last if n == len(inner) - 1 else _Side.INNER,
            )
            for n, item in enumerate(inner)
        ]
        # a group at an end sees to its own surroundings, as one of its branches may be anchored
        if first is _Side.OPEN and not (inner and _is_group(inner[0])):
            parts.insert(0, self._around)
        if last is _Side.OPEN and not (inner and _is_group(inner[-1])):
            parts.append(self._around)
        return chain(*parts)

    def _part(self, item: Any, flags: int, first: _Side, last: _Side) -> Node:
        name, value = item[0].name, item[1]
        match name:
            case "LITERAL":
                return Letters(self._fold(((value, value),), flags, only_ascii=True))
            case "NOT_LITERAL":
                return Letters(self._set([_NEGATION, (_parser.LITERAL, value)], flags))
            case "ANY":
                return Letters(EVERY if flags & re.DOTALL else self._dot)
            case "IN":
                return Letters(self._set(value, flags))
            case "BRANCH":
                return either(self.sequence(branch, flags, first, last) for branch in value[1])
            case "SUBPATTERN":
                _, added, removed, inner = value
                self.check_flags(added)
                return self.sequence(inner, (flags | added) & ~removed, first, last)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = value
                part = self.sequence(inner, flags, _Side.INNER, _Side.INNER)
                return repeat(part, least, None if most == _parser.MAXREPEAT else int(most))
            case "AT" if value.name not in _REFUSED:
                raise self._misplaced(value.name)
        raise self._refuse(value.name if name == "AT" else name)

    def _misplaced(self, name: str) -> ConstraintError:
        sign, place = ("^", "beginning") if "BEGINNING" in name else ("$", "end")
        return ConstraintError(
            f"regex {self._pattern!r}: {sign} stands elsewhere than at the {place}: leave it out or"
            " write the alternatives out"
        )

    def _refuse(self, name: str) -> ConstraintError:
        what, shape, advice = _REFUSED.get(name, (name, r"\b\B", "leave it out"))
        places = [m.start() for m in _PIECE.finditer(self._pattern) if re.match(shape, m[0])]
        at = f" at position {places[0]}" if places else ""
        return ConstraintError(
            f"regex {self._pattern!r}: {what}{at} is not supported, as no finite automaton reads"
            f" it so: {advice}"
        )

    def _set(self, items: Sequence[Any], flags: int) -> Ranges:
        """What both readings of the set take."""
        found = self._read_set(items, flags, only_ascii=True)
        names = [value.name for op, value in items if op.name == "CATEGORY"]
        if flags & re.ASCII or not (_negates(items) or any("_NOT_" in name for name in names)):
            return found  # it is part of the Unicode reading
        return intersection(found, self._read_set(items, flags, only_ascii=False))

    def _read_set(self, items: Sequence[Any], flags: int, *, only_ascii: bool) -> Ranges:
        negated = _negates(items)
        found: list[tuple[int, int]] = []
        for op, value in items[negated:]:
            if op.name == "CATEGORY":
                found += _category(value.name, only_ascii=only_ascii)
            else:
                pair = value if op.name == "RANGE" else (value, value)
                found += self._fold((pair,), flags, only_ascii=only_ascii)
        return complement(ranges(found)) if negated else ranges(found)

    def _fold(self, some: Iterable[tuple[int, int]], flags: int, *, only_ascii: bool) -> Ranges:
        """`some`, under (?i) in both cases."""
        own = ranges(some)
        if not flags & re.IGNORECASE:
            return own
        if own and own[-1][1] > 127:
            raise ConstraintError(
                f"regex {self._pattern!r}: (?i) is supported for ASCII letters only: write both"
                " cases of the others"
            )
        both = {chr(p).swapcase() for p in members(own)} | {chr(p) for p in members(own)}
        alike = [] if only_ascii else [_ALIKE[c] for c in both & set(_ALIKE)]
        return ranges([(ord(c), ord(c)) for c in both] + [(p, p) for p in alike])


def _is_group(item: Any) -> bool:
    return item[0].name in ("BRANCH", "SUBPATTERN")


def _is_anchor(item: Any, name: str) -> bool:
    return item[0].name == "AT" and item[1].name in (name, f"{name}_STRING")


def _negates(items: Sequence[Any]) -> bool:
    return bool(items[0][0].name == "NEGATE")


def _category(name: str, *, only_ascii: bool) -> Ranges:
    """A class such as CATEGORY_NOT_DIGIT, in one of its readings."""
    kind = _CATEGORIES[name.rpartition("_")[2]]
    found = ascii_set(kind) if only_ascii else unicode_set(kind)
    return complement(found) if "_NOT_" in name else found
