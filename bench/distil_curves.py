"""Two models' scores against steps in one picture, from what `tools.card` measured of each.

    python bench/distil_curves.py BEFORE.json AFTER.json --out steps.svg

The files are the `steps-NAME.json` that the card's command puts beside its picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from canvaslm.eval.pages.curves import draw

Json = dict[str, Any]


def diffusion(file: Path) -> dict[str, Json]:
    """A model's line of each task. Raises ValueError if the file is of another kind."""
    try:
        panels = json.loads(file.read_text("utf-8"))["panels"]
        return {panel["name"]: panel["lines"]["diffusion"] for panel in panels}
    except (KeyError, TypeError, ValueError) as error:
        wanted = "the steps-NAME.json that `python -m tools.card` puts beside its picture"
        raise ValueError(f"{file} is not {wanted}") from error


def beside(first: dict[str, Json], second: dict[str, Json]) -> Json:
    """Diffusion of both, task by task. Raises ValueError where they have not the same tasks."""
    if first.keys() != second.keys():
        raise ValueError(f"tasks differ: {', '.join(first)} before, {', '.join(second)} after")
    return {
        "panels": [
            {
                "name": task,
                "lines": {"before": first[task], "after": second[task]},
                "left to right": {},
            }
            for task in first
        ]
    }


def main() -> None:
    """Read both, draw one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    try:
        found = beside(diffusion(given.before), diffusion(given.after))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    draw(found, given.out)


if __name__ == "__main__":
    main()
