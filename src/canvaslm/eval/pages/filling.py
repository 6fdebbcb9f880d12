"""A Sudoku filling in, drawn: one grid that moves, or its moments side by side. Plain SVG.

Blue is right and red is wrong; the fainter a cell, the less sure the model is of it. No script and
no other host; what it looks like follows the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from canvaslm.eval.filling import Filling, Moment
from canvaslm.tasks.sudoku_files import Puzzle

SECONDS, REST = 0.8, 3.2
"""How long a pass is shown, and how much longer the last one."""

CELL, SMALL = 40, 20
LEVELS = 5
PANELS, ACROSS = 8, 4

_FAINT = (0.10, 0.24, 0.40, 0.56, 0.74)
_STYLE = """
.paper{fill:#fbfaf7}.ink,text{fill:#1d1b24}.quiet{fill:#6a6575}.given{fill:#e7e2d6}
.thin{stroke:#cbc6bb}.thick{stroke:#55505e}.r{fill:#2f7fd6}.w{fill:#df3f2b}
.now{fill:#1d1b24}.later{fill:#cbc6bb}
@media(prefers-color-scheme:dark){.paper{fill:#17161d}.ink,text{fill:#f2f0f7}.quiet{fill:#a29dae}
.given{fill:#34313f}.thin{stroke:#3b3846}.thick{stroke:#9a95a8}.r{fill:#3d8fe8}.w{fill:#ef5a45}
.now{fill:#f2f0f7}.later{fill:#3b3846}}
.thin,.thick{fill:none}.thin{stroke-width:1}.thick{stroke-width:2}
text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.d{text-anchor:middle}.clue{font-weight:700}.bad{font-weight:700;text-decoration:line-through}
"""


def moving(filling: Filling, *, title: str = "A Sudoku filling in") -> str:
    """One grid, pass after pass, again and again; where nothing may move, the last pass."""
    side, top = 9 * CELL, 66
    width, height = side + 48, side + top + 78
    moments = [start(filling.puzzle), *filling.moments]
    length = SECONDS * len(moments) + REST
    rules = "".join(shown(n, len(moments), length) for n in range(len(moments)))
    body = [f'<text class="clue" x="24" y="32" font-size="18">{escape(title)}</text>']
    board = [given(filling.puzzle, CELL)]
    board += [
        f'<g class="f{" last" if n == len(moments) - 1 else ""}" id="p{n}">'
        f"{drafts(moment, filling.puzzle, CELL)}</g>"
        for n, moment in enumerate(moments)
    ]
    board.append(lines(CELL))
    for n, moment in enumerate(moments):
        last = " last" if n == len(moments) - 1 else ""
        body.append(
            f'<text class="f quiet{last}" id="c{n}" x="24" y="54" font-size="13">'
            f"{said(moment, filling, of=len(moments) - 1)}</text>"
        )
        body.append(dots(n, len(moments), side, top + side + 18, last))
    body.append(f'<g transform="translate(24 {top})">{"".join(board)}</g>')
    body.append(legend(24, top + side + 44))
    motion = f"{rules}@media(prefers-reduced-motion:reduce){{.f{{animation:none!important}}}}"
    style = f"{_STYLE}.f{{opacity:0}}.last{{opacity:1}}{motion}"
    return document(width, height, style, body)


def still(filling: Filling, *, title: str = "A Sudoku filling in") -> str:
    """Up to eight moments side by side, the first and the last among them."""
    chosen = spread([start(filling.puzzle), *filling.moments], PANELS)
    side, gap, top = 9 * SMALL, 26, 52
    across = min(ACROSS, len(chosen))
    down = -(-len(chosen) // ACROSS)
    width, height = across * (side + gap) + gap, top + down * (side + 44) + 34
    body = [f'<text class="clue" x="{gap}" y="30" font-size="17">{escape(title)}</text>']
    for number, moment in enumerate(chosen):
        x = gap + (number % ACROSS) * (side + gap)
        y = top + (number // ACROSS) * (side + 44)
        board = given(filling.puzzle, SMALL) + drafts(moment, filling.puzzle, SMALL) + lines(SMALL)
        caption = said(moment, filling, of=None)
        body.append(f'<g transform="translate({x} {y})">{board}')
        body.append(f'<text class="quiet" y="{side + 17}" font-size="12">{caption}</text></g>')
    body.append(legend(gap, height - 22))
    return document(width, height, _STYLE, body)


def document(width: float, height: float, style: str, body: Sequence[str]) -> str:
    inside = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">\n<style>{style}</style>\n'
        f'<rect class="paper" width="100%" height="100%" rx="10"/>\n{inside}\n</svg>\n'
    )


def start(puzzle: Puzzle) -> Moment:
    """Before the first pass: clues, and noise that is no digit."""
    return Moment(step=0, digits=puzzle.cells, certainty=[0.0] * 81)


def spread(moments: Sequence[Moment], most: int) -> list[Moment]:
    """At most `most` of them, evenly, with both ends."""
    last = len(moments) - 1
    places = {round(n * last / (min(most, len(moments)) - 1)) for n in range(min(most, last + 1))}
    return [moments[place] for place in sorted(places)]


def said(moment: Moment, filling: Filling, *, of: int | None) -> str:
    """What stands beside a moment."""
    blanks = 81 - filling.puzzle.clues
    if moment.step == 0:
        return f"{filling.puzzle.clues} clues, {blanks} cells of noise"
    passes = f"pass {moment.step}" + (f" of {of}" if of else "")
    right = moment.right(filling.puzzle)
    return f"{passes}: {'all' if right == blanks else right} of {blanks} right"


def shown(number: int, count: int, length: float) -> str:
    """The rule by which a moment is visible in its turn."""
    begin, end = 100 * SECONDS * number / length, 100 * SECONDS * (number + 1) / length
    frames = [] if number == 0 else ["0%{opacity:0}"]
    frames.append(f"{begin:.3f}%{{opacity:1}}")
    if number < count - 1:
        frames.append(f"{end:.3f}%{{opacity:0}}")
    return (
        f"@keyframes k{number}{{{''.join(frames)}}}"
        f"#p{number},#c{number},#n{number}{{animation:k{number} {length:.1f}s step-end infinite}}"
    )


def dots(number: int, count: int, side: float, y: float, last: str) -> str:
    """A dot for each moment, those that are over filled."""
    step = min(14.0, (side - 8) / max(1, count - 1))
    drawn = "".join(
        f'<circle class="{"now" if n <= number else "later"}" cx="{28 + n * step:.1f}" cy="{y}" '
        f'r="{min(4.0, step / 3):.1f}"/>'
        for n in range(count)
    )
    return f'<g class="f{last}" id="n{number}">{drawn}</g>'


def given(puzzle: Puzzle, cell: int) -> str:
    """The clues."""
    places = [place for place, clue in enumerate(puzzle.cells) if clue]
    texts = written([(place, str(puzzle.cells[place])) for place in places], cell, "d clue")
    return f'<path class="given" d="{squares(places, cell)}"/>{"".join(texts)}'


def drafts(moment: Moment, puzzle: Puzzle, cell: int) -> str:
    """All cells but the clues that the draft has kept."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, digit in enumerate(moment.digits):
        clue = puzzle.cells[place]
        level = min(int(moment.certainty[place] * LEVELS), LEVELS - 1)
        if clue and (digit == clue or level < LEVELS // 2):
            continue
        kind = "" if not digit else "r" if digit == puzzle.solution[place] else "w"
        groups.setdefault((kind, level if kind else 0), []).append(place)
    return "".join(part for key in sorted(groups) for part in shade(key, groups[key], moment, cell))


def shade(key: tuple[str, int], places: Sequence[int], moment: Moment, cell: int) -> Iterator[str]:
    """Cells of one kind and certainty."""
    kind, level = key
    if kind:
        yield (f'<path class="{kind}" fill-opacity="{_FAINT[level]}" d="{squares(places, cell)}"/>')
    marks = [(place, str(moment.digits[place]) if kind else "·") for place in places]
    opacity = 0.45 + 0.55 * level / (LEVELS - 1)
    style = "d bad" if kind == "w" and level > 1 else "d"
    for text in written(marks, cell, style):
        yield text.replace("<text ", f'<text opacity="{opacity:.2f}" ', 1)


def written(marks: Sequence[tuple[int, str]], cell: int, style: str) -> Iterator[str]:
    """Characters in the middle of their cells, a text element for each row."""
    for row in range(9):
        mine = [(place % 9, mark) for place, mark in marks if place // 9 == row]
        if mine:
            xs = " ".join(f"{(column + 0.5) * cell:g}" for column, _ in mine)
            text = "".join(mark for _, mark in mine)
            y, size = (row + 0.5) * cell + 0.2 * cell, round(0.56 * cell, 1)
            yield f'<text class="{style}" x="{xs}" y="{y:g}" font-size="{size:g}">{text}</text>'


def squares(places: Sequence[int], cell: int) -> str:
    return "".join(
        f"M{place % 9 * cell} {place // 9 * cell}h{cell}v{cell}h-{cell}z" for place in places
    )


def lines(cell: int) -> str:
    """Thin between cells, thick between boxes."""
    side = 9 * cell
    thin = "".join(f"M0 {n * cell}h{side}M{n * cell} 0v{side}" for n in range(10) if n % 3)
    thick = "".join(f"M0 {n * cell}h{side}M{n * cell} 0v{side}" for n in range(0, 10, 3))
    return f'<path class="thin" d="{thin}"/><path class="thick" d="{thick}"/>'


def legend(x: float, y: float) -> str:
    """What the colours mean."""
    parts = [f'<g transform="translate({x} {y})">']
    parts.append('<rect class="given" width="14" height="14"/>')
    parts.append('<text class="quiet" x="19" y="11.5" font-size="12">clue</text>')
    for start, kind, name in ((60, "r", "right"), (164, "w", "wrong")):
        for level, opacity in enumerate(_FAINT):
            parts.append(
                f'<rect class="{kind}" fill-opacity="{opacity}" x="{start + 11 * level}" '
                'width="11" height="14"/>'
            )
        parts.append(
            f'<text class="quiet" x="{start + 11 * LEVELS + 5}" y="11.5" font-size="12">{name}'
            "</text>"
        )
    parts.append('<text class="quiet" x="274" y="11.5" font-size="12">faint: unsure</text></g>')
    return "".join(parts)
