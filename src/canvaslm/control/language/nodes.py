"""The small algebra that every constraint is written in before it becomes an automaton."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from canvaslm.control.language.letters import Ranges


@dataclass(frozen=True, slots=True)
class Text:
    """These characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Letters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Control:
    """One control token, by its name; it stands for no characters."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Any one of these; of none, nothing matches."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part`, `least` to `most` times; without `most` as often as one likes."""

    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Graph:
    """Any path from state 0 to an accepting one; each edge is (from, what to write, to)."""

    edges: tuple[tuple[int, Node, int], ...]
    accepting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """What matches `left` and `right`."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Without:
    """What matches `left` and does not match `right`."""

    left: Node
    right: Node


Node = Text | Letters | Control | Chain | Either | Repeat | Graph | Both | Without

EMPTY = Text("")
NOTHING = Either(())


def chain(*parts: Node | str) -> Node:
    """`parts` in a row; what cannot match makes the whole impossible."""
    flat: list[Node] = []
    for part in parts:
        node = Text(part) if isinstance(part, str) else part
        if node == NOTHING:
            return NOTHING
        flat += node.parts if isinstance(node, Chain) else [] if node == EMPTY else [node]
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Chain(tuple(flat))


def either(options: Iterable[Node | str]) -> Node:
    """One of `options`; those that cannot match are left out."""
    flat: list[Node] = []
    for option in options:
        node = Text(option) if isinstance(option, str) else option
        flat += node.options if isinstance(node, Either) else [node]
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def repeat(part: Node, least: int = 0, most: int | None = None) -> Node:
    if part == NOTHING and least == 0:
        return EMPTY
    if part in (NOTHING, EMPTY) or (least, most) == (1, 1):
        return part
    return EMPTY if most == 0 else Repeat(part, least, most)


def optional(part: Node) -> Node:
    return repeat(part, 0, 1)


def both(left: Node | None, right: Node) -> Node:
    """The common part; `left` None means everything."""
    if left is None or left == right:
        return right
    return NOTHING if NOTHING in (left, right) else Both(left, right)


def graph(edges: Iterable[tuple[int, Node, int]], accepting: Iterable[int]) -> Node:
    """The paths from 0 to `accepting`; edges that lead nowhere are left out."""
    kept = [edge for edge in edges if edge[1] != NOTHING]
    finals = set(accepting)
    before: dict[int, list[int]] = {}
    for start, _, end in kept:
        before.setdefault(end, []).append(start)
    useful, waiting = set(finals), list(finals)
    while waiting:
        found = [start for start in before.get(waiting.pop(), ()) if start not in useful]
        useful.update(found)
        waiting += found
    if 0 not in useful:
        return NOTHING
    return Graph(tuple(e for e in kept if {e[0], e[2]} <= useful), tuple(sorted(finals)))


def spell(node: Node, letter: Callable[[Ranges], Node]) -> Node:
    """`node` with each character written as `letter` says.

    `letter` must give every character one spelling, none the beginning of another, so that Both
    and Without mean the same after it.
    """
    match node:
        case Letters(ranges):
            return letter(ranges)
        case Text(text):
            return chain(*(letter(((ord(c), ord(c)),)) for c in text))
        case Control():
            return node
        case Chain(parts):
            return chain(*(spell(part, letter) for part in parts))
        case Either(options):
            return either(spell(option, letter) for option in options)
        case Repeat(part, least, most):
            return repeat(spell(part, letter), least, most)
        case Graph(edges, accepting):
            return graph([(a, spell(what, letter), b) for a, what, b in edges], accepting)
        case Both(left, right):
            return Both(spell(left, letter), spell(right, letter))
        case Without(left, right):
            return Without(spell(left, letter), spell(right, letter))
