"""The alphabet of a constraint: bytes that it never tells apart share a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from canvaslm.control.language.letters import byte_edges
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


@dataclass(frozen=True, eq=False)
class Symbols:
    """K classes: those of bytes, then one for each control token.

    class_of_byte  int32 [256]
    controls       the class of each control token, by name
    """

    class_of_byte: NDArray[np.int32]
    controls: Mapping[str, int]
    _known: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, node: Node) -> Symbols:
        """The coarsest classes with which `node` can be written."""
        sets: dict[int, None] = {}
        names: dict[str, None] = {}
        for leaf in _leaves(node):
            match leaf:
                case Control(name):
                    names[name] = None
                case Letters(ranges):
                    sets |= dict.fromkeys(bits for _, bits, _ in byte_edges(ranges))
                case Text(text):
                    sets |= dict.fromkeys(1 << byte for byte in text.encode())
        packed = b"".join(bits.to_bytes(32, "little") for bits in sets)
        member = np.frombuffer(packed, np.uint8).reshape(-1, 32)
        columns = np.unpackbits(member, axis=1, bitorder="little")
        # bytes of the same sets share a class; without any set there is one class of all
        if not len(columns):
            columns = np.zeros((1, 256), np.uint8)
        classes = np.unique(columns, axis=1, return_inverse=True)[1].reshape(256)
        count = int(classes.max()) + 1
        return cls(classes.astype(np.int32), {name: count + n for n, name in enumerate(names)})

    @property
    def count(self) -> int:
        return int(self.class_of_byte.max()) + 1 + len(self.controls)

    def of_set(self, bits: int) -> tuple[int, ...]:
        """The classes of the bytes whose bits are set."""
        if bits not in self._known:
            inside = [self.class_of_byte[byte] for byte in range(256) if bits >> byte & 1]
            self._known[bits] = tuple(sorted({int(kind) for kind in inside}))
        return self._known[bits]

    def of_text(self, pieces: Sequence[str]) -> list[int] | None:
        """The classes of `pieces`, of which every second is a control token; None if one is new."""
        found: list[int] = []
        for n, piece in enumerate(pieces):
            if n % 2:
                if piece not in self.controls:
                    return None
                found.append(self.controls[piece])
            else:
                found += [int(self.class_of_byte[byte]) for byte in piece.encode()]
        return found


def _leaves(node: Node) -> Iterator[Text | Letters | Control]:
    pending = [node]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        match node:
            case Text() | Letters() | Control():
                yield node
            case Chain(parts):
                pending += parts
            case Either(options):
                pending += options
            case Repeat(part):
                pending.append(part)
            case Graph(edges):
                pending += [what for _, what, _ in edges]
            case Both(left, right) | Without(left, right):
                pending += [left, right]
