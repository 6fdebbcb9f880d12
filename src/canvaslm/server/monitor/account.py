"""What is written down of a request at its end: a line in the log, and numbers for the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from canvaslm.server.door.guard import Answer
from canvaslm.server.monitor.logs import Level, Log, body_text
from canvaslm.server.monitor.metrics import Metrics
from canvaslm.server.service import Caller

QUIET = frozenset({"/health", "/ready", "/metrics"})


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """The log, if there is one, and the metrics."""

    metrics: Metrics
    log: Log | None = None
    clock: Callable[[], float] = time.monotonic

    def close(self, scope: Scope, answer: Answer) -> None:
        """Account for a request at its end."""
        caller: Caller = scope["state"]["caller"]
        tally, route, status = caller.tally, route_of(scope), answer.status
        seconds = self.clock() - tally.begun
        self.metrics.count(route=route, status=status, seconds=seconds, tally=tally)
        if self.log is None:
            return
        self.log.write(
            "request",
            level=level_of(route, status),
            id=caller.id,
            client=caller.client,
            method=scope["method"],
            route=route,
            status=status,
            ms=round(1000 * seconds, 1),
            first_ms=None if tally.first is None else round(1000 * (tally.first - tally.begun), 1),
            tokens=tally.tokens or None,
            steps=tally.steps or None,
            left=None if answer.whole else True,
            error=tally.failure,
            trace=tally.trace,
            body=body_text(tally.body),
        )


def route_of(scope: Scope) -> str:
    """The endpoint's path as it is declared: never what a client made up."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "none"


def level_of(route: str, status: int) -> Level:
    if status >= 500 and status not in (503, 504):
        return "error"
    return "debug" if route in QUIET else "info"
