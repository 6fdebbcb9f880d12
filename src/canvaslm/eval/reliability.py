"""How often decisions are right that were taken with a certain probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from canvaslm.engine.decide.calibration import Calibration, Method, soften
from canvaslm.engine.decide.decide import Rules
from canvaslm.engine.decide.examples import gather
from canvaslm.engine.decide.fitting import Labelled, Quality, quality
from canvaslm.errors import ParameterError
from canvaslm.eval.asked import asked
from canvaslm.eval.report import wilson

if TYPE_CHECKING:
    from canvaslm.engine.lm import LM

LEVELS = 10


@dataclass(frozen=True, kw_only=True)
class Level:
    """Answers of about the same probability: its mean, and the share of them that is right."""

    n: int
    probability: float
    right: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Of the likeliest option of each question; calibrated if every level's two figures agree."""

    method: Method
    quality: Quality
    levels: Sequence[Level]

    def as_json(self) -> dict[str, Any]:
        """As JSON values, the quality at the top."""
        values = asdict(self)
        return {"method": self.method, **values.pop("quality"), "levels": values["levels"]}


def reliability(
    lm: LM,
    *,
    n: int,
    seed: int = 0,
    method: Method = "denoise",
    progress: Callable[[int], None] | None = None,
) -> Reliability:
    """Ask `n` held-out questions about scenes; the model's own temperatures apply."""
    if n < 1:
        raise ParameterError(f"n must be at least 1, got {n}")
    found = gather(
        lm.decider,
        asked(n, seed=seed, split="test"),
        rules=Rules(method=method),
        progress=progress,
    )
    cases = [softened(case, lm.calibration, method) for case in found]
    return Reliability(method=method, quality=quality(cases), levels=levels(cases))


def softened(case: Labelled, calibration: Calibration, method: Method) -> Labelled:
    """The case at the temperature of its kind."""
    temperature = calibration.temperature(method, case.kind)
    log_p = [value / temperature for value in case.log_p]
    return Labelled(kind=case.kind, log_p=log_p, right=case.right)


def levels(cases: Sequence[Labelled]) -> list[Level]:
    """By tenths of the probability of the likeliest option; empty ones are left out."""
    held: dict[int, list[tuple[float, bool]]] = {}
    for case in cases:
        spread = soften(case.log_p, 1.0)
        sure = max(spread)
        right = spread.index(sure) == case.right
        held.setdefault(min(int(sure * LEVELS), LEVELS - 1), []).append((sure, right))
    return [_level(held[tenth]) for tenth in sorted(held)]


def _level(answers: Sequence[tuple[float, bool]]) -> Level:
    n, right = len(answers), sum(hit for _, hit in answers)
    return Level(
        n=n,
        probability=sum(sure for sure, _ in answers) / n,
        right=right / n,
        interval=wilson(right, n),
    )
