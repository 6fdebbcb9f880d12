"""How deep definitions may stand within themselves, and how much that may unfold to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from canvaslm.errors import ConstraintError

MAX_DEPTH = 16
_MAX_VISITS = 20_000


@dataclass(frozen=True)
class Trail:
    """The definitions that are open, and how many times each."""

    open: Mapping[str, int] = field(default_factory=dict)

    def enter(self, name: str, *, depth: int) -> Trail | None:
        """The trail within `name`; None where it stands within itself `depth` times already."""
        times = self.open.get(name, 0)
        return None if times > depth else Trail({**self.open, name: times + 1})


class Visits:
    """Counts the parts that definitions unfold to, as they may double with each level."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, at: str) -> None:
        self._count += 1
        if self._count > _MAX_VISITS:
            raise ConstraintError(
                f"{at}: definitions unfold to more than {_MAX_VISITS:,} parts: lower depth"
            )


def check_depth(depth: object) -> None:
    if type(depth) is not int or not 0 <= depth <= MAX_DEPTH:
        raise ConstraintError(f"depth must be an integer from 0 to {MAX_DEPTH}, got {depth!r}")


@contextmanager
def nesting(name: str) -> Iterator[None]:
    """Turns Python's own limit into a ConstraintError about `name`."""
    try:
        yield
    except RecursionError:
        raise ConstraintError(f"{name} nests too deep: flatten it, or lower the depth") from None
