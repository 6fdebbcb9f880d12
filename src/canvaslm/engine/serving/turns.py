"""Whose turn it is: short requests before long ones, clients in fair shares, nobody forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from canvaslm.engine.serving.fiber import Fiber

SHORT = 1 << 10  # tokens of passes; with each doubling a request goes behind those with fewer
OLDEST = 4  # every so many turns goes to whoever has waited longest, or whose client has used least


class Turns:
    """`used` are the tokens that passes have computed for each client at work.

    A client that comes, or comes back, starts level with the one that has used least, so that it
    can neither save up turns nor owe any.
    """

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.taken = 0

    def enter(self, client: str) -> None:
        if client not in self.used:
            self.used[client] = min(self.used.values(), default=0)

    def leave(self, client: str) -> None:
        """The client's last request has ended."""
        self.used.pop(client, None)

    def order(self, waiting: Sequence[Fiber]) -> list[Fiber]:
        """Who goes first, for one turn. Most turns are the short requests'; of the others each is
        in turn for the oldest, which nobody's new requests can hold up for ever, and for the client
        that has used least, which nobody's many requests can."""
        self.taken += 1
        found = sorted(waiting, key=self.rank)
        special, left = divmod(self.taken, OLDEST)
        if not left and found:
            first = min(found, key=self.need if special % 2 else age)
            found.remove(first)
            found.insert(0, first)
        return found

    def rank(self, fiber: Fiber) -> tuple[int, int, int]:
        """Less comes first: how long it is so far, what its client has used, when it came."""
        return length(fiber), self.used[fiber.client], fiber.number

    def peers(self, order: Sequence[Fiber]) -> set[Fiber]:
        """Those as long as the first, for whom it pays to make the pass a longer one; only the
        first where shorter ones wait."""
        level = length(order[0])
        if any(length(fiber) < level for fiber in order):
            return {order[0]}
        return {fiber for fiber in order if length(fiber) == level}

    def need(self, fiber: Fiber) -> tuple[int, int, int]:
        return self.used[fiber.client], *age(fiber)

    def note(self, fibers: Iterable[Fiber], *, turn: int) -> None:
        """These have had a pass."""
        for fiber in fibers:
            assert fiber.ask is not None
            fiber.attained += fiber.ask.tokens
            fiber.waited = turn
            self.used[fiber.client] += fiber.ask.tokens


def length(fiber: Fiber) -> int:
    """How often what it has had is doubled SHORT tokens."""
    return (fiber.attained // SHORT).bit_length()


def age(fiber: Fiber) -> tuple[int, int]:
    return fiber.waited, fiber.number
