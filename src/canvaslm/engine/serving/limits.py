"""How much an engine takes on at a time."""

from __future__ import annotations

from dataclasses import dataclass

from canvaslm.engine.checks import check_integer, check_number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, and what waits.

    active      requests at work; more of them wait
    queue       requests that may wait; more of them are refused
    per_client  requests that one client may have, waiting or at work
    deadline    seconds from the queue to the end, where a request does not say; None: no limit
    pages       pages of the prefix cache and of all requests together; None: as memory allows
    """

    active: int = 32
    queue: int = 256
    per_client: int = 64
    deadline: float | None = 600.0
    pages: int | None = None

    def __post_init__(self) -> None:
        check_integer("active", self.active, least=1)
        check_integer("queue", self.queue, least=0)
        check_integer("per_client", self.per_client, least=1)
        if self.deadline is not None:
            check_number("deadline", self.deadline, above_zero=True)
        if self.pages is not None:
            check_integer("pages", self.pages, least=1)
