"""Whose turn it is: short requests before long ones, clients in fair shares, nobody forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from canvaslm.engine.serving.fiber import Fiber

SHORT = 1 << 12  # tokens of passes; with each doubling a request goes behind those with fewer
OLDEST = 4  # every so many turns whoever has waited longest goes first


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
        """Who goes first, for one turn."""
        self.taken += 1
        found = sorted(waiting, key=self.rank)
        if self.taken % OLDEST == 0 and found:
            oldest = min(found, key=lambda fiber: (fiber.waited, fiber.number))
            found.remove(oldest)
            found.insert(0, oldest)
        return found

    def rank(self, fiber: Fiber) -> tuple[int, int, int]:
        """Less comes first: how long it is so far, what its client has used, when it came."""
        return (fiber.attained // SHORT).bit_length(), self.used[fiber.client], fiber.number

    def note(self, fibers: Iterable[Fiber], *, turn: int) -> None:
        """These have had a pass."""
        for fiber in fibers:
            assert fiber.ask is not None
            fiber.attained += fiber.ask.tokens
            fiber.waited = turn
            self.used[fiber.client] += fiber.ask.tokens
