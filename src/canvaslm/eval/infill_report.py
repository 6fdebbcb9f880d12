"""What an evaluation of infilling found: raw counts by origin, kind and length of the gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.eval.infill import Sample
from canvaslm.eval.infill_cases import KINDS, ORIGINS, InfillPlan
from canvaslm.eval.infill_fill import METHODS
from canvaslm.eval.report import wilson


@dataclass(frozen=True, kw_only=True)
class InfillRow:
    """Some samples of one method together: how many of `n` were what.

    interval        95 % interval (Wilson) of the share that `trimmed` stands for
    tested, passed  those with a test, and those of them that passed it
    tokens, steps, seconds  means
    """

    n: int
    exact: int
    trimmed: int
    interval: tuple[float, float]
    compiles: int
    tested: int
    passed: int
    tokens: float
    steps: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class InfillReport:
    """`rows` holds for each method and origin a row for "all", each kind, and each bin of lengths
    that has samples."""

    plan: InfillPlan
    executed: bool
    rows: Mapping[str, Mapping[str, Mapping[str, InfillRow]]]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        rows = {
            method: {origin: _counts(rows) for origin, rows in origins.items()}
            for method, origins in self.rows.items()
        }
        plan = asdict(self.plan) | {"library": self.plan.library and str(self.plan.library)}
        return {"task": "infill", **plan, "executed": self.executed, "methods": rows}


def summarise_infill(
    samples: Sequence[Sample], plan: InfillPlan, *, executed: bool
) -> InfillReport:
    """Count the samples up; there must be at least one."""
    return InfillReport(
        plan=plan,
        executed=executed,
        rows={
            method: {origin: _rows(found) for origin, found in _split(mine, ORIGINS, _origin)}
            for method, mine in _split(samples, METHODS, lambda sample: sample.method)
        },
    )


def _counts(rows: Mapping[str, InfillRow]) -> dict[str, Any]:
    return {name: asdict(row) for name, row in rows.items()}


def _origin(sample: Sample) -> str:
    return sample.case.origin


def _rows(samples: Sequence[Sample]) -> dict[str, InfillRow]:
    lengths = dict.fromkeys(
        sample.case.length for sample in sorted(samples, key=lambda s: len(s.case.gap.answer))
    )
    return {
        "all": _row(samples),
        **{kind: _row(s) for kind, s in _split(samples, KINDS, lambda sample: sample.case.kind)},
        **{size: _row(s) for size, s in _split(samples, [*lengths], lambda s: s.case.length)},
    }


def _split(
    samples: Sequence[Sample], names: Sequence[str], name_of: Callable[[Sample], str]
) -> list[tuple[str, list[Sample]]]:
    """The samples of each name that has any."""
    groups = [(name, [sample for sample in samples if name_of(sample) == name]) for name in names]
    return [(name, group) for name, group in groups if group]


def _row(samples: Sequence[Sample]) -> InfillRow:
    n = len(samples)
    trimmed = sum(sample.trimmed for sample in samples)
    verdicts = [sample.passed for sample in samples if sample.passed is not None]
    return InfillRow(
        n=n,
        exact=sum(sample.exact for sample in samples),
        trimmed=trimmed,
        interval=wilson(trimmed, n),
        compiles=sum(sample.compiles for sample in samples),
        tested=len(verdicts),
        passed=sum(verdicts),
        tokens=sum(sample.filling.tokens for sample in samples) / n,
        steps=sum(sample.filling.steps for sample in samples) / n,
        seconds=sum(sample.filling.seconds for sample in samples) / n,
    )
