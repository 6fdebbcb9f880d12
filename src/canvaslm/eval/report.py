"""What an evaluation found: by bin and in all, as numbers, JSON or a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.engine.result import Usage
from canvaslm.tasks import Score


@dataclass(frozen=True, kw_only=True)
class Case:
    """One answer, judged."""

    bin: str
    score: Score
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class Row:
    """Some cases together.

    score             share answered correctly, and the 95 % interval of what it stands for
    details           means of the task's other metrics, each between 0 and 1
    steps_per_canvas  denoising passes; left to right, where there is no canvas, None
    """

    n: int
    score: float
    interval: tuple[float, float]
    details: Mapping[str, float]
    steps_per_canvas: float | None
    tokens_per_forward: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Each bin of one evaluation, and all of them. `seconds` are those the model answered in."""

    task: str
    mode: str
    seed: int
    batch: int
    total: Row
    bins: Mapping[str, Row]
    seconds: float
    tokens_per_second: float

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values, with the fields of `total` at the top."""
        values = asdict(self)
        return {"task": self.task, "mode": self.mode, **values.pop("total"), **values}


def summarise(
    cases: Sequence[Case], *, task: str, mode: str, seed: int, batch: int, seconds: float
) -> Report:
    """Count the cases up; there must be at least one."""
    names = dict.fromkeys(case.bin for case in cases)
    tokens = sum(case.usage.completion_tokens for case in cases)
    return Report(
        task=task,
        mode=mode,
        seed=seed,
        batch=batch,
        total=_row(cases),
        bins={name: _row([case for case in cases if case.bin == name]) for name in names},
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
    )


def _row(cases: Sequence[Case]) -> Row:
    n = len(cases)
    right = sum(case.score.correct for case in cases)
    steps = sum(case.usage.steps for case in cases)
    canvases = sum(case.usage.canvases for case in cases)
    tokens = sum(case.usage.completion_tokens for case in cases)
    details: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.score.details.items():
            details.setdefault(name, []).append(value)
    return Row(
        n=n,
        score=right / n,
        interval=wilson(right, n),
        details={name: sum(values) / len(values) for name, values in details.items()},
        steps_per_canvas=steps / canvases if canvases else None,
        tokens_per_forward=tokens / steps if steps else 0.0,
    )


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share: bounds between 0 and 1."""
    z, share = 1.959964, right / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def markdown(reports: Sequence[Mapping[str, Any]], *, bins: bool) -> str:
    """A table of `Report.as_json` values: a line for each task, and with `bins` for each bin.

    Modes that were not measured show a dash. Speeds are those of one machine: say which beside it.
    """
    found = {(report["task"], report["mode"]): report for report in reports}
    lines = [
        "| task | diffusion | one shot | left to right | steps per canvas | tokens per forward |"
        " tokens/s | tokens/s left to right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(report["task"] for report in reports):
        modes = [found.get((task, mode)) for mode in ("diffusion", "one-shot", "ar")]
        speeds = [_figure(modes[i], "tokens_per_second", ",.0f") for i in (0, 2)]
        lines.append(_line(task, modes, speeds))
        for bin in (modes[0] or {}).get("bins", {}) if bins else ():
            rows = [mode and mode["bins"].get(bin) for mode in modes]
            lines.append(_line(f"{task}, {bin}", rows, ["", ""]))
    return "\n".join(lines)


def _line(name: str, modes: Sequence[Mapping[str, Any] | None], speeds: Sequence[str]) -> str:
    cells = [name, *(_figure(mode, "score", ".1%") for mode in modes)]
    cells += [_figure(modes[0], key, ".1f") for key in ("steps_per_canvas", "tokens_per_forward")]
    return "| " + " | ".join([*cells, *speeds]) + " |"


def _figure(values: Mapping[str, Any] | None, key: str, form: str) -> str:
    return "–" if values is None or values[key] is None else format(values[key], form)
