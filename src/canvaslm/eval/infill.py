"""Infilling measured: each case filled by each method, and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.eval.infill_cases import InfillCase, InfillPlan, infill_cases
from canvaslm.eval.infill_checks import Check, check_of
from canvaslm.eval.infill_fill import Fill, Filling, Method
from canvaslm.tasks.code import parses


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One case as one method filled it, judged.

    exact     the text is what was cut out, to the character
    trimmed   the same, trailing white space aside
    compiles  the whole function is Python
    passed    it passes the function's test; None: there is none, or nothing was to be run
    """

    case: InfillCase
    method: Method
    filling: Filling
    exact: bool
    trimmed: bool
    compiles: bool
    passed: bool | None

    def as_json(self) -> dict[str, Any]:
        """The case, what was put in, and each verdict, as JSON values."""
        case, gap = self.case, self.case.gap
        return {
            "origin": case.origin,
            "kind": case.kind,
            "number": case.number,
            "length": case.length,
            "method": self.method,
            "prefix": gap.before,
            "suffix": gap.after,
            "answer": gap.answer,
            **asdict(self.filling),
            "exact": self.exact,
            "trimmed": self.trimmed,
            "compiles": self.compiles,
            "passed": self.passed,
        }


def measure_infill(
    fills: Mapping[Method, Fill],
    plan: InfillPlan,
    *,
    execute: bool = False,
    record: Callable[[Sample], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Fill and judge the cases of `plan` with each of `fills`.

    With `execute`, functions that have a test are run, in the sandbox of `canvaslm.eval.sandbox`.
    `record` is called with each sample as it comes, `progress` with cases done and samples right.
    """
    samples: list[Sample] = []
    for done, case in enumerate(infill_cases(plan), start=1):
        check = check_of(case) if execute else None
        for method, fill in fills.items():
            filling = fill(case.gap.before, case.gap.after, plan.max_gap)
            samples.append(judge(case, method, filling, check))
            if record is not None:
                record(samples[-1])
        if progress is not None:
            progress(done, sum(sample.trimmed for sample in samples))
    return samples


def judge(case: InfillCase, method: Method, filling: Filling, check: Check | None) -> Sample:
    """Compare, parse, and with `check` run what `filling` makes of the function."""
    gap = case.gap
    source = gap.before + filling.text + gap.after
    exact = filling.text == gap.answer
    compiles = exact or parses(source)
    return Sample(
        case=case,
        method=method,
        filling=filling,
        exact=exact,
        trimmed=filling.text.rstrip() == gap.answer.rstrip(),
        compiles=compiles,
        # The original passes, or it would not be the case's test.
        passed=None if check is None else exact or (compiles and check.passes(source)),
    )
