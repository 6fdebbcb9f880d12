"""Seconds, memory and shares of a measured pass, put beside what the machine could do."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.kernels.cpu.peaks import Peaks
from canvaslm.measure.work import REST, Work

STEPS_PER_CANVAS = 12.6
"""The mean that was published for the released model with its own sampler."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(
            median=statistics.median(values), least=min(values), most=max(values), count=len(values)
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a pass: its time, and where its work is counted, how near to the ceiling."""

    seconds: float
    share: float
    operations_per_second: float | None = None
    bytes_per_second: float | None = None
    floor_seconds: float | None = None
    of_ceiling: float | None = None
    bound_by: str | None = None


def parts(
    seconds: Mapping[str, float], work: Mapping[str, Work], *, whole: float, peaks: Peaks
) -> dict[str, Part]:
    """By part, the dearest first; `seconds` and `whole` are those of one pass."""
    rest = max(whole - sum(seconds.values()), 0.0)
    found = {
        name: part(spent, work.get(name), whole=whole, peaks=peaks)
        for name, spent in sorted(
            ({**seconds, REST: seconds.get(REST, 0.0) + rest}).items(), key=lambda item: -item[1]
        )
    }
    return {name: one for name, one in found.items() if one.seconds > 0}


def part(spent: float, work: Work | None, *, whole: float, peaks: Peaks) -> Part:
    share = spent / whole
    if work is None or spent == 0:
        return Part(seconds=spent, share=share)
    floor = work.floor(peaks)
    return Part(
        seconds=spent,
        share=share,
        operations_per_second=work.operations / spent,
        bytes_per_second=work.bytes / spent,
        floor_seconds=floor,
        of_ceiling=floor / spent,
        bound_by=work.bound_by(peaks),
    )


def implied_speed(
    step: float, commit: float, *, canvas: int, rows: int, steps: float = STEPS_PER_CANVAS
) -> float:
    """Tokens a second of canvases that take so many steps and a pass that commits them."""
    return canvas * rows / (steps * step + commit)


def described(peaks: Peaks) -> dict[str, Any]:
    """Peaks as JSON, with their units in the names."""
    found = asdict(peaks)
    return {
        "instructions": found.pop("instructions"),
        "threads": found.pop("threads"),
        "read_bytes_per_second": found.pop("read_bytes"),
        **{f"{name}_operations_per_second": value for name, value in found.items()},
    }
