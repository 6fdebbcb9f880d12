"""Finds the larger parts that stand in a language more than once, so that each is built once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from canvaslm.control.language.nodes import (
    Both,
    Chain,
    Either,
    Graph,
    Node,
    Repeat,
    Without,
)

_LEAST_SIZE = 24  # leaves; below, writing a part again is quicker than asking for it


@dataclass(frozen=True)
class Sharing:
    """Equal parts have equal numbers; `shared` are the numbers of those worth building once."""

    shared: frozenset[int]
    _number_of: dict[int, int] = field(repr=False)
    _kept: Node = field(repr=False)  # numbers are by identity, so the parts must stay

    @classmethod
    def of(cls, node: Node) -> Sharing:
        reader = _Numbering()
        reader.visit(node)
        repeated = (n for n, times in reader.uses.items() if times > 1)
        large = frozenset(n for n in repeated if reader.sizes[n] >= _LEAST_SIZE)
        return cls(large, reader.number_of, node)

    def number(self, node: Node) -> int | None:
        """The number of a part that is shared, None for any other."""
        number = self._number_of.get(id(node))
        return number if number in self.shared else None


class _Numbering:
    def __init__(self) -> None:
        self.number_of: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.uses: Counter[int] = Counter()
        self._known: dict[object, int] = {}

    def visit(self, node: Node) -> int:
        number = self.number_of.get(id(node))
        if number is None:
            parts, rest = _parts(node)
            inner = [self.visit(part) for part in parts]
            key = (type(node), tuple(inner), rest)
            number = self._known.setdefault(key, len(self._known))
            self.number_of[id(node)] = number
            self.sizes[number] = 1 + sum(self.sizes[n] for n in inner)
        self.uses[number] += 1
        return number


def _parts(node: Node) -> tuple[list[Node], object]:
    """What a node is made of, and what else tells it from others of its type."""
    match node:
        case Chain(parts):
            return list(parts), None
        case Either(options):
            return list(options), None
        case Repeat(part, least, most):
            return [part], (least, most)
        case Graph(edges, accepting):
            return [what for _, what, _ in edges], (tuple((a, b) for a, _, b in edges), accepting)
        case Both(left, right) | Without(left, right):
            return [left, right], None
    return [], node
