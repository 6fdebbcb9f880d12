"""Operations that are timed: the same numbers, and what each operation took."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from canvaslm.kernels.ops import Operations


class Timed:
    """Another's operations; `seconds` and `calls` of each name since the last `clear`.

    Use it as an `Operations` through `operations`. An operation called within another is counted
    in that one alone.
    """

    def __init__(
        self, inner: Operations, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.inner, self._clock = inner, clock
        self.name = inner.name
        self.clear()

    @property
    def operations(self) -> Operations:
        return cast(Operations, self)

    def clear(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def shares(self) -> dict[str, float]:
        """Each operation's share of all their time, the largest first."""
        total = sum(self.seconds.values())
        ordered = sorted(self.seconds.items(), key=lambda item: -item[1])
        return {name: seconds / total for name, seconds in ordered}

    def __getattr__(self, name: str) -> Any:
        """An operation of the inner ones, timed; made once."""
        inner = getattr(self.inner, name)

        @wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:
            start = self._clock()
            try:
                return inner(*arguments, **named)
            finally:
                self.seconds[name] += self._clock() - start
                self.calls[name] += 1

        setattr(self, name, timed)
        return timed
