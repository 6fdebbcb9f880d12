"""Shares with their intervals as a drawing: plain SVG, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LINE, NAMES, WIDE, FIGURES = 22, 170, 420, 120


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A share between 0 and 1 with an interval around it."""

    name: str
    share: float
    interval: tuple[float, float]
    n: int


def bars(rows: Sequence[Bar]) -> str:
    """A line for each share: a bar, a whisker for its interval, and the figures."""
    height = LINE * len(rows) + 18
    width = NAMES + WIDE + FIGURES
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
    ]
    for tenth in (0, 25, 50, 75, 100):
        x = NAMES + WIDE * tenth / 100
        parts.append(f'<line class="grid" x1="{x}" y1="0" x2="{x}" y2="{height - 16}"/>')
        parts.append(f'<text class="scale" x="{x}" y="{height - 3}">{tenth}</text>')
    parts += [_bar(row, LINE * place) for place, row in enumerate(rows)]
    return "".join([*parts, "</svg>"])


def _bar(row: Bar, top: int) -> str:
    low, high = (NAMES + WIDE * value for value in row.interval)
    middle = top + LINE / 2
    figures = f"{row.share:.1%} of {row.n}"
    return (
        f'<text class="name" x="{NAMES - 8}" y="{middle + 4}">{escape(row.name)}</text>'
        f'<rect class="bar" x="{NAMES}" y="{top + 4}" width="{WIDE * row.share:.1f}" '
        f'height="{LINE - 8}"/>'
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}'
        f'M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>'
        f'<text class="figures" x="{NAMES + WIDE + 8}" y="{middle + 4}">{figures}</text>'
    )
