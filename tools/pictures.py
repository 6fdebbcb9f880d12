"""Draw the pictures of the documents: a canvas, pass by pass.

python tools/pictures.py [FOLDER] [--only json infill sudoku] [--bin 30-35] [--pins|--alone]

The Sudoku is one of a bin, by default the first held-out one that is solved in few passes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rich.text import Text

import canvaslm
from canvaslm import LM, CanvasError, Done, Draft, JsonSchema, Params, tasks
from canvaslm.cli.canvas_view import paint
from canvaslm.cli.show import held_out
from canvaslm.cli.watch import look
from canvaslm.eval.filling import Filling, fill
from canvaslm.eval.infill_cases import InfillPlan, infill_cases
from canvaslm.eval.pages.filling import moving, still
from canvaslm.eval.sudoku import Form, How
from canvaslm.tasks.records import schema_of

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS, FONT = 112, 13  # characters; pixels
ADVANCE, LEADING = 0.602 * FONT, 1.55 * FONT
BACKGROUND, QUIET = "#16141c", "#8d86a0"

TRIED, SHOWN, LEAST = 300, range(4, 9), 5  # cases, passes, gap tokens
FEW = range(5, 13)  # passes of a Sudoku


def draw_json(lm: LM) -> str:
    """A record settling under its schema: the first held-out one, in few passes, that is right."""
    task, rng = tasks.get("json"), random.Random(0)
    for _ in range(TRIED):
        case = task.sample(rng, split="test")
        params = Params(seed=1, constraint=JsonSchema(schema_of(case)))
        *events, done = lm.stream(case.prompt, params=params)
        drafts = [event for event in events if isinstance(event, Draft)]
        right = isinstance(done, Done) and task.score(case, done.result.text).correct
        if right and len(drafts) in SHOWN:
            return draw(case.prompt, [row(lm, draft) for draft in drafts])
    raise CanvasError(f"none of {TRIED} records was extracted rightly in {SHOWN} passes")


def draw_infill(lm: LM) -> str:
    """A gap between its two sides: the first held-out one, in a few passes, that is right."""
    cases = infill_cases(InfillPlan(n=TRIED, kinds=("single-line",), origins=("textbook",)))
    for case in cases:
        drafts: list[Draft] = []
        gap = len(lm.tokenizer.encode(case.gap.answer))
        if gap < LEAST or not case.gap.after.strip():
            continue
        filled = lm.rewriter.infill(
            case.gap.before,
            case.gap.after,
            gap=gap,
            params=Params(seed=1, effort="fast"),
            watch=drafts.append,
        )
        if filled.text == case.gap.answer and len(drafts) in SHOWN:
            rows = [Text(case.gap.before, QUIET).append(row(lm, draft)) for draft in drafts]
            return draw(
                "What stands in the gap? Above it the prefix, after it the pinned suffix.", rows
            )
    raise CanvasError(f"none of {TRIED} gaps was filled rightly in {SHOWN} passes")


def row(lm: LM, draft: Draft) -> Text:
    """The draft up to its first end token."""
    ends = [n for n, id in enumerate(draft.token_ids) if id in lm.settings.eos_ids]
    length = min(ends, default=len(draft.token_ids))
    seen = look(lm, draft)
    return paint(seen.pieces[:length], seen.entropies[:length])


def draw(caption: str, rows: Sequence[Text]) -> str:
    """An SVG: the caption, and a numbered block for each pass."""
    blocks = [[Text(line, QUIET) for line in fold(caption)]]
    for number, text in enumerate(rows, start=1):
        lines = [line for part in text.split("\n") for line in cut(part)]
        blocks.append([Text(f"{number:>2}  ", QUIET).append(lines[0])])
        blocks[-1] += [Text("    ").append(line) for line in lines[1:]]
    lines = [line for block in blocks for line in [*block, Text()]][:-1]
    width, height = (COLUMNS + 8) * ADVANCE, (len(lines) + 2) * LEADING
    body = "\n".join(line_of(line, (n + 1.6) * LEADING) for n, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        f'font-size="{FONT}">\n<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f"{body}\n</svg>\n"
    )


def fold(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= COLUMNS:
            lines.append("")
        lines[-1] += f"{word} "
    return lines


def cut(text: Text) -> list[Text]:
    return [text[start : start + COLUMNS] for start in range(0, max(1, len(text)), COLUMNS)]


def line_of(text: Text, y: float) -> str:
    """One line; every run of a style is placed by its column, whatever the font's width."""
    runs = []
    for start, end, colour in runs_of(text):
        x, length = (start + 2) * ADVANCE, (end - start) * ADVANCE
        piece = escape(text.plain[start:end])
        runs.append(f'<tspan x="{x:.1f}" textLength="{length:.1f}" fill="{colour}">{piece}</tspan>')
    return f'<text y="{y:.1f}" xml:space="preserve">{"".join(runs)}</text>'


def runs_of(text: Text) -> Iterable[tuple[int, int, str]]:
    """Start, end and colour of each stretch of one colour."""
    colours = [str(text.style) or QUIET] * len(text)
    for span in text.spans:
        style = span.style
        colour = getattr(style, "color", None)
        name = str(style) if colour is None else colour.get_truecolor().hex
        colours[span.start : span.end] = [name] * (span.end - span.start)
    start = 0
    for place in range(1, len(colours) + 1):
        if place == len(colours) or colours[place] != colours[start]:
            yield start, place, colours[start]
            start = place


def draw_sudoku(lm: LM, how: How, bin: str) -> Filling:
    """The first held-out puzzle of a bin that is solved in a few passes."""
    for seed in range(TRIED):
        filling = fill(lm, held_out(bin, seed), how)
        if filling.solved and len(filling.moments) in FEW:
            return filling
    raise CanvasError(f"none of {TRIED} puzzles of bin {bin} was solved in {FEW} passes")


DRAWN = {"json": draw_json, "infill": draw_infill}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a checkpoint; default: embedded")
    parser.add_argument("--only", nargs="+", choices=(*DRAWN, "sudoku"), default=(*DRAWN, "sudoku"))
    parser.add_argument("--bin", default="30-35", help="clues of the Sudoku")
    parser.add_argument("--pins", action="store_true", help="its clues are pinned, too")
    parser.add_argument("--alone", action="store_true", help="they stand on the canvas alone")
    given = parser.parse_args()
    lm = canvaslm.load(given.folder)
    PICTURES.mkdir(exist_ok=True)
    for name in given.only:
        if name != "sudoku":
            (PICTURES / f"{name}.svg").write_text(DRAWN[name](lm), encoding="utf-8")
            continue
        form: Form = "rows" if given.folder is None else "spaced"
        how = How(form=form, seed=1, pins=given.pins, alone=given.alone)
        filling = draw_sudoku(lm, how, given.bin)
        for stem, picture in (("filling", moving), ("filling-still", still)):
            (PICTURES / f"{stem}.svg").write_text(picture(filling), encoding="utf-8")


if __name__ == "__main__":
    main()
