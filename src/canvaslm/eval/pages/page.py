"""A run as one page of HTML: scores by bin with their intervals, and cases right and wrong.

It needs nothing but itself: no script, no other host. All that a model or a file said is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from canvaslm.eval.pages.bars import Bar, bars
from canvaslm.eval.report import Report, Row
from canvaslm.eval.trials.record import Record

SHOWN = 4
"""Right and wrong cases of each bin that are shown, at most."""

_MOST = 4000
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{margin-top:2em;border-bottom:1px solid #ccc}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;vertical-align:top}
small{color:#777}td{white-space:nowrap}
td:first-child,th:first-child{text-align:left}tr+tr{border-top:1px solid #ddd}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}
.grid{stroke:#ddd}.scale{fill:#777;text-anchor:middle;font-size:10px}.name{text-anchor:end}
.bar{fill:#8bb8dd}.whisker{stroke:#222;stroke-width:1.5;fill:none}text{fill:#222}
details{margin:.4em 0}summary{cursor:pointer}.right{color:#176b2c}.wrong{color:#a1201c}
pre{background:#f5f5f5;padding:.6em;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
dt{font-weight:600}dd{margin:0 0 .6em}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}pre{background:#242424}
text{fill:#ddd}.bar{fill:#2f6591}.whisker{stroke:#eee}.grid{stroke:#333}
.right{color:#7fd394}.wrong{color:#f29b97}}
"""


def page(reports: Sequence[Report], records: Sequence[Record], settings: Mapping[str, Any]) -> str:
    """The page of a run."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Evaluation of {_text(settings.get('model'))}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{_text(settings.get('model'))} on {_text(', '.join(r.task for r in reports))}</h1>",
        f"<p>{_text(described(settings))}</p>",
        *(part for report in reports for part in _task(report, records)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def described(settings: Mapping[str, Any]) -> str:
    """What decided the answers, in a line."""
    place = settings.get("place", {})
    named = {name: value for name, value in settings.items() if name not in ("model", "place")}
    told = [
        f"{name} {_plain(value)}" for name, value in {**named, **place}.items() if value is not None
    ]
    return "; ".join(told)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    return str(value)


def _task(report: Report, records: Sequence[Record]) -> Iterator[str]:
    rows = [*report.bins.items(), ("all", report.total)]
    yield f"<h2>{_text(report.task)}, {_text(report.mode)}</h2>"
    yield bars(
        [Bar(name=name, share=row.score, interval=row.interval, n=row.n) for name, row in rows]
    )
    yield _table(rows)
    yield (
        f"<p>{report.seconds:,.1f} s, {report.tokens_per_second:,.0f} tokens/s, "
        f"{report.batch} at a time. Intervals are of 95 %: Wilson's for shares, the others by "
        "resampling the cases.</p>"
    )
    mine = [record for record in records if record.task == report.task]
    for right, title in ((False, "Wrong"), (True, "Right")):
        chosen = list(examples([record for record in mine if record.correct == right]))
        if chosen:
            yield f"<h3>{title}</h3>"
            yield from map(_example, chosen)


def _table(rows: Sequence[tuple[str, Row]]) -> str:
    details = list(dict.fromkeys(name for _, row in rows for name in row.details))
    heads = ["bin", *details, "steps per canvas", "tokens per forward", "seconds per case"]
    lines = ["<tr>" + "".join(f"<th>{_text(head)}</th>" for head in heads) + "</tr>"]
    for name, row in rows:
        cells = [_text(name)]
        cells += [_figure(row, f"details.{key}", row.details.get(key), ".1%") for key in details]
        cells.append(_figure(row, "steps_per_canvas", row.steps_per_canvas, ".1f"))
        cells.append(_figure(row, "tokens_per_forward", row.tokens_per_forward, ".1f"))
        cells.append(_figure(row, "seconds_per_case", row.seconds_per_case, ".3f"))
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "<table>" + "".join(lines) + "</table>"


def _figure(row: Row, key: str, value: float | None, form: str) -> str:
    if value is None:
        return "–"
    if key not in row.bootstrap:
        return format(value, form)
    low, high = row.bootstrap[key]
    return f"{value:{form}}<br><small>{low:{form}} – {high:{form}}</small>"


def examples(records: Sequence[Record]) -> Iterator[Record]:
    """The first SHOWN of each bin, in their order."""
    seen: dict[str, int] = {}
    for record in records:
        seen[record.bin] = seen.get(record.bin, 0) + 1
        if seen[record.bin] <= SHOWN:
            yield record


def _example(record: Record) -> str:
    verdict = "right" if record.correct else "wrong"
    steps = "" if record.steps is None else f", {record.steps} steps"
    fields = {"Prompt": record.prompt, "Expected": record.expected, "Answer": record.answer}
    shown = "".join(
        f"<dt>{name}</dt><dd><pre>{_text(said)}</pre></dd>" for name, said in fields.items()
    )
    case = f"case {record.number}, bin {_text(record.bin)}{steps}, {record.seconds:.2f} s"
    return (
        f'<details><summary><span class="{verdict}">{verdict}</span> {case}</summary>'
        f"<dl>{shown}</dl></details>"
    )


def _text(value: object) -> str:
    """Escaped, without control characters, and of a length that a page can show."""
    text = str(value)
    if len(text) > _MOST:
        text = f"{text[:_MOST]} … ({len(text) - _MOST} more characters)"
    return escape("".join(char if char.isprintable() or char in "\n\t" else "�" for char in text))
