"""Two finished runs, compared case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.errors import ParameterError
from canvaslm.eval.bootstrap import Ratio, intervals, mean
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.record import Record

Pair = tuple[Record, Record]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Run A against run B on `n` cases that both have answered.

    difference    share that A has right, less that of B; `interval` by resampling the pairs
    wins, losses  cases that A alone has right, that B alone has right; `ties`, the others
    p             McNemar's exact two-sided test: how often cases that differ would fall as
                  unevenly, or more so, if neither run were the better one
    steps_ratio, seconds_ratio
                  of A over B, in all, with their intervals; None where B has none
    """

    n: int
    a: float
    b: float
    difference: float
    interval: Interval
    wins: int
    losses: int
    ties: int
    p: float
    steps_ratio: float | None
    steps_interval: Interval | None
    seconds_ratio: float | None
    seconds_interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def finished(folder: Folder) -> list[Record]:
    """The records of a run. Raises ParameterError if it is not finished."""
    records, total = folder.records(), folder.settings.get("cases")
    if len(records) != total:
        raise ParameterError(
            f"the run in {folder.path} has answered {len(records)} of {total} cases: finish it "
            "with --resume first"
        )
    return records


def compare(a: Sequence[Record], b: Sequence[Record], *, seed: int = 0) -> dict[str, Difference]:
    """By task, and "all" where there are several: the cases that both runs have answered.

    Raises ParameterError where there are none, or where a case of one run asks something else.
    """
    others = {record.key: record for record in b}
    pairs = [(mine, others[mine.key]) for mine in a if mine.key in others]
    for mine, other in pairs:
        if (mine.prompt, mine.expected) != (other.prompt, other.expected):
            raise ParameterError(
                f"case {mine.number} of {mine.task} asks something else in either run: they were "
                "started with different seeds, bins or data"
            )
    if not pairs:
        raise ParameterError("the runs have no case in common: compare runs of the same task")
    tasks: dict[str, list[Pair]] = {}
    for pair in pairs:
        tasks.setdefault(pair[0].task, []).append(pair)
    found = {task: differ(of_task, seed=seed) for task, of_task in tasks.items()}
    return found if len(tasks) == 1 else found | {"all": differ(pairs, seed=seed)}


def differ(pairs: Sequence[Pair], *, seed: int = 0) -> Difference:
    """The difference on some pairs, at least one."""
    signs = [int(mine.correct) - int(other.correct) for mine, other in pairs]
    wins, losses = signs.count(1), signs.count(-1)
    ratios: Mapping[str, Ratio] = {
        "difference": mean([float(sign) for sign in signs]),
        "steps": _costs(pairs, "steps"),
        "seconds": _costs(pairs, "seconds"),
    }
    found, n = intervals(ratios, seed=seed), len(pairs)
    return Difference(
        n=n,
        a=sum(mine.correct for mine, _ in pairs) / n,
        b=sum(other.correct for _, other in pairs) / n,
        difference=(wins - losses) / n,
        interval=found["difference"],
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        p=mcnemar(wins, losses),
        steps_ratio=_ratio(ratios["steps"]),
        steps_interval=found.get("steps"),
        seconds_ratio=_ratio(ratios["seconds"]),
        seconds_interval=found.get("seconds"),
    )


def mcnemar(wins: int, losses: int) -> float:
    """The exact two-sided probability of so uneven a split of fair coins; 1 where none differ."""
    n, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**n))


def _costs(pairs: Sequence[Pair], name: str) -> Ratio:
    values = [(getattr(mine, name), getattr(other, name)) for mine, other in pairs]
    known = [(0.0, 0.0) if None in pair else (float(pair[0]), float(pair[1])) for pair in values]
    return [mine for mine, _ in known], [other for _, other in known]


def _ratio(of: Ratio) -> float | None:
    below = math.fsum(of[1])
    return math.fsum(of[0]) / below if below else None
