"""Objects and arrays as graphs in which each member and item stands as few times as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from canvaslm.control.language.nfa import MAX_DRAFT_STATES, too_large
from canvaslm.control.language.nodes import EMPTY, NOTHING, Node, graph
from canvaslm.control.language.notation import Notation


@dataclass(frozen=True)
class Member:
    """`text` is the key, the colon and the value; a member that is not required may be absent."""

    text: Node
    required: bool = True


class _Path:
    """A graph whose states have names; each part is written once for each place it leads to."""

    def __init__(self, notation: Notation) -> None:
        self._comma = notation.comma
        self._numbers: dict[tuple[int | str, ...], int] = {}
        self._edges: dict[tuple[int, int], tuple[int, Node, int]] = {}

    def state(self, *name: int | str) -> int:
        if len(self._numbers) > MAX_DRAFT_STATES:
            raise too_large(f"{MAX_DRAFT_STATES:,} places in its draft")
        return self._numbers.setdefault(name, len(self._numbers))

    def skip(self, start: int, end: int) -> None:
        self._edges[start, end] = (start, EMPTY, end)

    def write(self, part: Node, start: int, end: int, *, comma: bool, name: str = "") -> None:
        """A way from `start` to `end` over `part`, a comma first where `comma`."""
        before = self.state("before", end, name)
        self._edges[start, before] = (start, self._comma if comma else EMPTY, before)
        self._edges[before, end] = (before, part, end)

    def close(self, accepting: list[int]) -> Node:
        return graph(self._edges.values(), accepting)


def object_of(
    members: Sequence[Member],
    notation: Notation,
    *,
    free: Node = NOTHING,
    least: int = 0,
    most: int | None = None,
) -> Node:
    """`members` in order, then `free` ones; `least` to `most` in all."""
    path = _Path(notation)
    top = max(1, least, most or 0)  # so far members are counted
    path.state(0, 0)
    for n, member in enumerate(members):
        for k in range(top + 1):
            if not member.required:
                path.skip(path.state(n, k), path.state(n + 1, k))
            if most is None or k < most:
                end = path.state(n + 1, min(k + 1, top))
                path.write(member.text, path.state(n, k), end, comma=k > 0)
    last = len(members)
    ends = [path.state(last, k) for k in range(least, top + 1)]
    for k in range(top + 1):
        if most is None or k < most:
            after = path.state("closed" if notation.one_free_key else last, min(k + 1, top))
            path.write(free, path.state(last, k), after, comma=k > 0, name="free")
            ends += [after] * (k + 1 >= least)
    return notation.enclose("{}", path.close(ends))


def array_of(
    first: Sequence[Node],
    rest: Node,
    notation: Notation,
    *,
    least: int = 0,
    most: int | None = None,
) -> Node:
    """`first`, then as many of `rest` as are wanted; `least` to `most` in all."""
    path = _Path(notation)
    top = max(1, len(first), least) if most is None else most
    path.state(0)
    for n in range(top):
        part = first[n] if n < len(first) else rest
        path.write(part, path.state(n), path.state(n + 1), comma=n > 0)
    if most is None and top > len(first):  # the last place is one of `rest`: read it again
        path.write(rest, path.state(top), path.state(top), comma=True)
    elif most is None:
        path.write(rest, path.state(top), path.state(top + 1), comma=True)
        path.skip(path.state(top + 1), path.state(top))
    accepting = [path.state(n) for n in range(least, top + 1)]
    return notation.enclose("[]", path.close(accepting))
