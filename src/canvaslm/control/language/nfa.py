"""From the language algebra to an automaton: Thompson's construction, then subsets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from canvaslm.control.language.dfa import Dfa, product
from canvaslm.control.language.letters import Ranges, byte_edges
from canvaslm.control.language.nodes import (
    Both,
    Chain,
    Control,
    Either,
    Graph,
    Letters,
    Node,
    Repeat,
    Text,
    Without,
)
from canvaslm.control.language.sharing import Sharing
from canvaslm.control.language.symbols import Symbols
from canvaslm.errors import ConstraintError

MAX_STATES = 30_000
MAX_DRAFT_STATES = 120_000
_MAX_WORK = 6_000_000  # states read while subsets are built: some seconds

Classes = tuple[int, ...]
Subset = tuple[int, ...]


def too_large(what: str) -> ConstraintError:
    return ConstraintError(
        f"the constraint needs more than {what}: lower maxLength, maxItems, the counts of repeats"
        " or the depth, or make a long part unlimited"
    )


def build_dfa(node: Node, symbols: Symbols) -> Dfa | None:
    """The smallest automaton that matches `node`; None where nothing does.

    Raises ConstraintError where more than MAX_STATES states would be needed.
    """
    return _Parts(symbols, Sharing.of(node)).build(node)


@dataclass(frozen=True)
class _Parts:
    """What the drafts of one constraint share; `built` holds what stands more than once."""

    symbols: Symbols
    sharing: Sharing
    built: dict[int, Dfa | None] = field(default_factory=dict)

    def build(self, node: Node) -> Dfa | None:
        number = self.sharing.number(node)
        if number is None:
            return _Draft(self).draw(node).determinised()
        if number not in self.built:
            self.built[number] = _Draft(self).draw(node).determinised()
        return self.built[number]


class _Draft:
    """A nondeterministic automaton under construction: state 0 is the start, 1 the only end."""

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._symbols = parts.symbols
        self._moves: list[list[tuple[Classes, int]]] = [[], []]
        self._free: list[list[int]] = [[], []]

    def draw(self, node: Node) -> _Draft:
        self._write(node, 0, 1)
        return self

    def _state(self) -> int:
        if len(self._moves) >= MAX_DRAFT_STATES:
            raise too_large(f"{MAX_DRAFT_STATES:,} places in its draft")
        self._moves.append([])
        self._free.append([])
        return len(self._moves) - 1

    def _add(self, node: Node, start: int, end: int) -> None:
        """Ways from `start` to `end` that write `node`; no other way may enter or leave between."""
        if self._parts.sharing.number(node) is None:
            self._write(node, start, end)
        elif (built := self._parts.build(node)) is not None:
            self._add_dfa(built, start, end)

    def _write(self, node: Node, start: int, end: int) -> None:
        match node:
            case Text(text):
                self._add_text(text.encode(), start, end)
            case Letters(ranges):
                self._add_letters(ranges, start, end)
            case Control(name):
                self._moves[start].append(((self._symbols.controls[name],), end))
            case Chain(parts):
                for part in parts[:-1]:
                    middle = self._state()
                    self._add(part, start, middle)
                    start = middle
                self._add(parts[-1], start, end)
            case Either(options):
                for option in options:
                    self._add(option, start, end)
            case Repeat():
                self._add_repeat(node, start, end)
            case Graph():
                self._add_graph(node, start, end)
            case Both(left, right):
                self._add_product(left, right, start, end, without=False)
            case Without(left, right):
                self._add_product(left, right, start, end, without=True)

    def _add_text(self, text: bytes, start: int, end: int) -> None:
        if not text:
            self._free[start].append(end)
        for place, byte in enumerate(text):
            after = end if place == len(text) - 1 else self._state()
            self._moves[start].append(((int(self._symbols.class_of_byte[byte]),), after))
            start = after

    def _add_letters(self, ranges: Ranges, start: int, end: int) -> None:
        places = {0: start, 1: end}
        for a, bits, b in byte_edges(ranges):
            for place in (a, b):
                if place not in places:
                    places[place] = self._state()
            self._moves[places[a]].append((self._symbols.of_set(bits), places[b]))

    def _add_repeat(self, node: Repeat, start: int, end: int) -> None:
        for _ in range(node.least):
            after = self._state()
            self._add(node.part, start, after)
            start = after
        if node.most is None:
            loop = self._state()
            self._free[start].append(loop)
            self._add(node.part, loop, loop)
            self._free[loop].append(end)
            return
        for _ in range(node.most - node.least):
            self._free[start].append(end)
            after = self._state()
            self._add(node.part, start, after)
            start = after
        self._free[start].append(end)

    def _add_graph(self, node: Graph, start: int, end: int) -> None:
        places: dict[int, int] = defaultdict(self._state)
        self._free[start].append(places[0])
        for a, what, b in node.edges:
            self._add(what, places[a], places[b])
        for accepting in node.accepting:
            self._free[places[accepting]].append(end)

    def _add_product(self, left: Node, right: Node, start: int, end: int, *, without: bool) -> None:
        first, second = self._parts.build(left), self._parts.build(right)
        if first is None or (second is None and not without):
            return
        whole = first if second is None else product(first, second, without=without)
        if whole is not None:
            self._add_dfa(whole, start, end)

    def _add_dfa(self, dfa: Dfa, start: int, end: int) -> None:
        places = [self._state() for _ in range(dfa.states)]
        self._free[start].append(places[0])
        for state, moves in enumerate(dfa.moves):
            self._moves[places[state]] += [(kinds, places[after]) for kinds, after in moves]
        for final in dfa.accepting_S.nonzero()[0]:
            self._free[places[final]].append(end)

    def determinised(self) -> Dfa | None:
        reader = _SubsetReader(self._moves, self._free)
        start = reader.closure(0)
        number: dict[Subset, int] = {start: 0}
        subsets = [start]
        rows = []
        for subset in subsets:
            row = [-1] * self._symbols.count
            for kind, after in reader.after(subset).items():
                if after not in number:
                    number[after] = len(subsets)
                    subsets.append(after)
                row[kind] = number[after]
            rows.append(row)
            if len(subsets) > MAX_STATES:
                raise too_large(f"{MAX_STATES:,} states")
        accepting = np.array([1 in subset for subset in subsets])
        return Dfa(np.array(rows, np.int32), accepting).minimised()


class _SubsetReader:
    """What a set of states reads next, with the work that it takes limited.

    Of a set only those states count that read a symbol, and the end.
    """

    def __init__(self, moves: list[list[tuple[Classes, int]]], free: list[list[int]]) -> None:
        self._moves, self._free = moves, free
        self._closures: dict[int, Subset] = {}
        self._single: dict[int, dict[int, Subset]] = {}
        self._work = 0

    def closure(self, state: int) -> Subset:
        found = self._closures.get(state)
        if found is None:
            seen, pending = {state}, [state]
            while pending:
                fresh = [s for s in self._free[pending.pop()] if s not in seen]
                seen.update(fresh)
                pending += fresh
            self._count(len(seen))
            found = tuple(sorted(s for s in seen if s == 1 or self._moves[s]))
            self._closures[state] = found
        return found

    def after(self, subset: Subset) -> dict[int, Subset]:
        if len(subset) == 1:
            return self._after_one(subset[0])
        ends: dict[int, set[Subset]] = defaultdict(set)
        for state in subset:
            for kind, after in self._after_one(state).items():
                ends[kind].add(after)
        return {kind: self._union(parts) for kind, parts in ends.items()}

    def _after_one(self, state: int) -> dict[int, Subset]:
        found = self._single.get(state)
        if found is None:
            ends: dict[int, set[Subset]] = defaultdict(set)
            for kinds, after in self._moves[state]:
                for kind in kinds:
                    ends[kind].add(self.closure(after))
            found = {kind: self._union(parts) for kind, parts in ends.items()}
            self._single[state] = found
        return found

    def _union(self, parts: set[Subset]) -> Subset:
        if len(parts) == 1:
            (only,) = parts
            return only
        self._count(sum(map(len, parts)))
        return tuple(sorted(set().union(*parts)))

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > _MAX_WORK:
            raise too_large(f"{_MAX_WORK:,} operations to build")
