"""Measures a model and writes its card, or checks that the card belongs to the weights.

python -m tools.card                         the embedded model, from where the last call stopped
python -m tools.card FOLDER --run RUN        other weights, from the training run in RUN
python -m tools.card FOLDER --kind sudoku --run RUN [--rival M] [--without-own M] [--hard FILE]
python -m tools.card --write                 the cards again, from what was measured
python -m tools.card --check                 exit 1 if one is out of date, or of other weights

Numbers go to FOLDER/measured.json, the card is FOLDER/README.md between its marks (made where there
is none), and score against steps is drawn to docs/pictures/steps-NAME.svg, with its data beside it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from bench.sudoku import STEPS

from canvaslm.tasks import TASKS
from tools.card.blank import BLANKS
from tools.card.facts import CARD, MEASURED, WEIGHTS, fingerprints, shown
from tools.card.tables import KINDS
from tools.readme import PACKAGE, ROOT, rewrite

FOLDERS = (PACKAGE / "pocket", PACKAGE / "sudoku", ROOT / "docs" / "sudoku" / "model")
"""Models that are shipped, of which those that are there have a card."""

PICTURES = ROOT / "docs" / "pictures"


def main(args: list[str]) -> None:
    """Measure, write or check."""
    given = options().parse_args(args)
    folders = [given.folder] if given.folder else [one for one in FOLDERS if one.exists()]
    if given.check:
        stale = [complaint for folder in folders for complaint in wrong(folder)]
        if stale:
            raise SystemExit("\n".join(stale))
    elif given.write:
        for folder in folders:
            write(folder)
    else:
        measure(given, args)


def options() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="default: the embedded model")
    parser.add_argument("--kind", choices=tuple(KINDS), help="default: as measured, else tasks")
    parser.add_argument("--n", type=int, default=200, help="cases of each task, or puzzles")
    parser.add_argument("--seed", type=int, default=0, help="of cases and answers")
    parser.add_argument("--batch", type=int, default=16, help="puzzles at a time")
    parser.add_argument("--questions", type=int, default=300, help="for the calibration")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--run", type=Path, help="the training run of these weights")
    parser.add_argument("--by", help="the command that trained them, for the card")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "card")
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    parser.add_argument("--rival", type=Path, help="a Sudoku model trained left to right")
    parser.add_argument("--without-own", type=Path, help="one trained with --own 0")
    parser.add_argument("--hard", type=Path, nargs="+", default=[], help="files of puzzles")
    parser.add_argument("--write", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true", help="change nothing")
    return parser


def measure(given: argparse.Namespace, args: list[str]) -> None:
    """Ask what is not kept yet, and write numbers, picture and card."""
    from canvaslm.eval.pages.curves import draw
    from tools.card.measure import Wanted, carry_out, known_of

    folder = given.folder or FOLDERS[0]
    wanted = Wanted(
        folder=folder,
        kind=given.kind or known_of(folder).get("kind", "tasks"),
        command=shlex.join(["python", "-m", "tools.card", *args]),
        n=given.n,
        seed=given.seed,
        batch=given.batch,
        questions=given.questions,
        steps=given.steps,
        tasks=given.tasks,
        run=given.run,
        by=given.by,
        runs=given.runs,
        rival=given.rival,
        without_own=given.without_own,
        hard=given.hard,
    )
    found, curves = carry_out(wanted)
    given.pictures.mkdir(parents=True, exist_ok=True)
    put(given.pictures / f"steps-{folder.name}.json", curves)
    draw(curves, given.pictures / f"steps-{folder.name}.svg")
    put(folder / MEASURED, found)
    write(folder)
    print(f"{shown(folder)}: {MEASURED}, {CARD} and steps-{folder.name}.svg written")


def put(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write(folder: Path) -> None:
    """Bring a card up to date with what was measured."""
    card, found = folder / CARD, read(folder)
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    if not text:
        text = BLANKS[found["kind"]].format(name=folder.name)
    card.write_text(filled(text, found), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What was measured. Raises SystemExit."""
    if not (folder / MEASURED).exists():
        raise SystemExit(f"{shown(folder)} was not measured: python -m tools.card {shown(folder)}")
    found: dict[str, Any] = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    return found


def filled(text: str, found: dict[str, Any]) -> str:
    """A card with all of its generated parts as they should be."""
    for name, part in KINDS[found["kind"]].items():
        text = rewrite(text, name, part(found))
    return text


def wrong(folder: Path) -> list[str]:
    """What is not as it should be; nothing for a folder without weights."""
    if not (folder / WEIGHTS).exists():
        return []
    found, now, place = read(folder), fingerprints(folder), shown(folder)
    again = f"measure them with python -m tools.card {place}"
    said = [
        f"the card of {place} is of other {name} ({found.get(name)}, now {now[name]}): {again}"
        for name in ("weights", "settings")
        if found.get(name) != now[name]
    ]
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).exists() else ""
    if not said and card != filled(card, found):
        said = [f"the card of {place} is out of date: python -m tools.card --write"]
    drawn = PICTURES / f"steps-{folder.name}.json"
    if folder in FOLDERS and not said:
        curves = json.loads(drawn.read_text(encoding="utf-8")) if drawn.exists() else {}
        if curves.get("weights") != now["weights"]:
            said = [f"{shown(drawn)} is of other weights than {place}: {again}"]
    return said


if __name__ == "__main__":
    main(sys.argv[1:])
