"""What an evaluation found: by bin and in all, as numbers, JSON or a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.eval.asking import Asking
from canvaslm.eval.bootstrap import Ratio, intervals, mean
from canvaslm.eval.trials.record import Record


@dataclass(frozen=True, kw_only=True)
class Row:
    """Some cases together.

    score             share answered correctly, and Wilson's 95 % interval of what it stands for,
                      which has a width at 0 and 1, too
    details           means of the task's other metrics, each between 0 and 1
    steps_per_canvas  denoising passes; None where there is no canvas, or none is told of
    tokens_per_forward
                      None where no passes are told of
    seconds_per_case  from question to answer
    bootstrap         95 % intervals of all of these, by resampling the cases
    """

    n: int
    score: float
    interval: tuple[float, float]
    details: Mapping[str, float]
    steps_per_canvas: float | None
    tokens_per_forward: float | None
    seconds_per_case: float
    bootstrap: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Each bin of one task, and all of them. `seconds` are those the model answered in."""

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
    records: Sequence[Record],
    *,
    task: str,
    asking: Asking,
    bins: Mapping[str, Callable[[Record], bool]] | None = None,
) -> Report:
    """Count the cases of `task` up; there must be at least one. `bins` are those of a Suite."""
    mine = [record for record in records if record.task == task]
    tokens = sum(record.tokens for record in mine)
    seconds = math.fsum(record.spent for record in mine)
    return Report(
        task=task,
        mode=asking.mode,
        seed=asking.seed,
        batch=asking.batch,
        total=_row(mine),
        bins={name: _row(found) for name, found in _sorted(mine, bins or {}) if found},
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else 0.0,
    )


def _sorted(
    records: Sequence[Record], bins: Mapping[str, Callable[[Record], bool]]
) -> Iterator[tuple[str, list[Record]]]:
    """The records of each bin, by default of those that they name."""
    for name, belongs in bins.items():
        yield name, [record for record in records if belongs(record)]
    for name in dict.fromkeys(record.bin for record in records) if not bins else ():
        yield name, [record for record in records if record.bin == name]


def _row(records: Sequence[Record]) -> Row:
    n = len(records)
    right = sum(record.correct for record in records)
    ratios = _ratios(records)
    values = {
        name: sum(above) / sum(below) for name, (above, below) in ratios.items() if sum(below)
    }
    details = {name: values[name] for name in values if name.startswith(_DETAIL)}
    return Row(
        n=n,
        score=right / n,
        interval=wilson(right, n),
        details={name.removeprefix(_DETAIL): value for name, value in details.items()},
        steps_per_canvas=values.get("steps_per_canvas"),
        tokens_per_forward=values.get("tokens_per_forward"),
        seconds_per_case=values["seconds_per_case"],
        bootstrap=intervals(ratios),
    )


_DETAIL = "details."


def _ratios(records: Sequence[Record]) -> dict[str, Ratio]:
    """The quantities of a Row. Cases that do not have one count in neither of its sums."""
    steps = [float(record.steps or 0) for record in records]
    canvases = [float(record.canvases or 0) for record in records]
    tokens = [float(record.tokens) if record.steps else 0.0 for record in records]
    on_canvas = [a if b else 0.0 for a, b in zip(steps, canvases, strict=True)]
    ratios: dict[str, Ratio] = {
        "score": mean([float(record.correct) for record in records]),
        "steps_per_canvas": (on_canvas, canvases),
        "tokens_per_forward": (tokens, steps),
        "seconds_per_case": mean([record.seconds for record in records]),
    }
    for name in dict.fromkeys(name for record in records for name in record.details):
        ratios[_DETAIL + name] = (
            [record.details.get(name, 0.0) for record in records],
            [float(name in record.details) for record in records],
        )
    return ratios


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
