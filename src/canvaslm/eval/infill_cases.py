"""Held-out functions with a gap: the cases that infilling is measured on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, get_args

from canvaslm.engine.checks import check_integer
from canvaslm.errors import ParameterError
from canvaslm.tasks import code_stdlib
from canvaslm.tasks.code import MOST_ASKED, take_textbook
from canvaslm.tasks.code_gaps import Gap, Remove, remove_lines, remove_span

Kind = Literal["single-line", "multi-line", "random-span"]
"""One whole line; two to four; any characters of the body, within a line or across several."""

Origin = Literal["stdlib", "textbook"]
"""Real functions of the running interpreter's standard library; made ones, which can be run."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ORIGINS: tuple[Origin, ...] = get_args(Origin)
LENGTHS = (16, 32, 64, MOST_ASKED)
"""Characters of the longest gap in each bin of lengths."""

_REMOVE: dict[Kind, Remove] = {
    "single-line": partial(remove_lines, fewest=1, most=1),
    "multi-line": partial(remove_lines, fewest=2, most=4),
    "random-span": remove_span,
}
_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, kw_only=True)
class InfillCase:
    """One function and what is missing in it. `number` counts within its kind and origin."""

    number: int
    kind: Kind
    origin: Origin
    gap: Gap
    canonical: str  # decides the split: all cases are held out

    @property
    def length(self) -> str:
        """The bin of the gap's length, such as "17-32 characters"."""
        size, least = len(self.gap.answer), 1
        for most in LENGTHS:
            if size <= most:
                break
            least = most + 1
        return f"{least}-{most} characters"


@dataclass(frozen=True, kw_only=True)
class InfillPlan:
    """Which cases: `n` of them, spread evenly over kinds and origins.

    Case i of a kind and origin depends on (kind, origin, seed, i) alone, so more cases contain the
    fewer. `max_gap` is the most tokens that may be filled in; `library` a folder of Python source
    to take the place of the standard library. Raises ParameterError.
    """

    n: int = 200
    seed: int = 0
    kinds: Sequence[Kind] = KINDS
    origins: Sequence[Origin] = ORIGINS
    max_gap: int = 64
    library: Path | None = None

    def __post_init__(self) -> None:
        check_integer("n", self.n, least=1)
        check_integer("max_gap", self.max_gap, least=1)
        _check_names("kind", self.kinds, KINDS)
        _check_names("origin", self.origins, ORIGINS)


def infill_cases(plan: InfillPlan) -> list[InfillCase]:
    """The cases of `plan`, in the order of their numbers. Raises TaskError for a library without
    source."""
    groups = [(origin, kind) for origin in plan.origins for kind in plan.kinds]
    chosen = []
    for index in range(plan.n):
        number, group = divmod(index, len(groups))
        origin, kind = groups[group]
        rng = random.Random(f"infill {origin} {kind} {plan.seed} {number}")
        chosen.append(_draw(plan, rng, number=number, kind=kind, origin=origin))
    return chosen


def _draw(
    plan: InfillPlan, rng: random.Random, *, number: int, kind: Kind, origin: Origin
) -> InfillCase:
    while True:
        if origin == "textbook":
            source, canonical = take_textbook(rng, "test")
        else:
            source, canonical = rng.choice(code_stdlib.functions("test", plan.library))
        gap = _REMOVE[kind](source, rng)
        if gap is not None and len(gap.answer) <= MOST_ASKED:
            return InfillCase(number=number, kind=kind, origin=origin, gap=gap, canonical=canonical)


def _check_names(what: str, given: Sequence[_Name], known: Sequence[_Name]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        found = repr(unknown[0]) if unknown else "none"
        raise ParameterError(f"{what} must be one or more of {', '.join(known)}, got {found}")
