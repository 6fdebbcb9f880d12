"""The parts of a card, written from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvaslm.tasks.sudoku_protocol import OWN_BINS

Json = Mapping[str, Any]
MODES = ("diffusion", "one-shot", "ar")
DASH = "–"
BINS = tuple(OWN_BINS)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(map(plain, heads)) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def plain(cell: str) -> str:
    """A cell that Markdown reads as it stands."""
    return cell if "`" in cell else cell.replace("<", "\\<").replace(">", "\\>")


def model(found: Json) -> str:
    """How large the network is."""
    of = found["model"]
    experts = of["experts"]
    mlp = f"dense MLP of {of['dense']}"
    if experts:
        mlp += (
            f" beside {experts['count']} experts of {experts['intermediate_size']} with "
            f"{experts['top_k']} active"
        )
    layers = f"{of['layers']} layers ({of['sliding']} sliding, {of['layers'] - of['sliding']} full)"
    rows = [
        ("parameters", f"{of['parameters']:,}"),
        ("network", f"{layers}, width {of['width']}, {of['heads']} heads, {mlp}"),
        ("canvas", f"{of['canvas']} tokens"),
        ("vocabulary", f"{of['vocabulary']:,} tokens"),
        ("context", f"{of['context']:,} positions in the configuration"),
        ("weights", f"{of['dtype']}, {of['bytes'] / 1e6:.1f} MB, SHA-256 `{found['weights']}…`"),
    ]
    return table(("", ""), rows)


def scores(found: Json) -> str:
    """A line for each task and each of its bins, with intervals."""
    reports = {(one["task"], one["mode"]): one for one in found["reports"]}
    heads = ["task", "cases", "diffusion", "one shot", "left to right", "steps per canvas"]
    heads += ["tokens per forward", "tokens/s", "tokens/s left to right"]
    rows = []
    for task in dict.fromkeys(one["task"] for one in found["reports"]):
        of = [reports[task, mode] for mode in MODES]
        speeds = [f"{of[place]['tokens_per_second']:,.0f}" for place in (0, 2)]
        rows.append([f"**{task}**", *figures(of), *speeds])
        for bin in of[0]["bins"]:
            rows.append([f"{task}, {bin}", *figures([one["bins"][bin] for one in of]), "", ""])
    return f"{table(heads, rows)}\n\n{where(found)}"


def figures(of: Sequence[Json]) -> list[str]:
    """Cases, shares with their intervals, and what the first of them took."""
    cells = [str(of[0]["n"]), *map(share, of)]
    return cells + [spread(of[0], key) for key in ("steps_per_canvas", "tokens_per_forward")]


def share(row: Json) -> str:
    """A share of right answers, and Wilson's interval."""
    low, high = row["interval"]
    return f"{row['score']:.1%} ({100 * low:.0f}–{100 * high:.0f})"


def spread(row: Json, key: str) -> str:
    """A mean, and its interval by resampling the cases."""
    if row[key] is None:
        return DASH
    if key not in row["bootstrap"]:
        return f"{row[key]:.1f}"
    low, high = row["bootstrap"][key]
    return f"{row[key]:.1f} ({low:.1f}–{high:.1f})"


def where(found: Json) -> str:
    """How, and on what, the numbers came about."""
    return (
        f"`{found['command']}`, seed {found['seed']}, on {found['machine']}. Beside a share "
        "Wilson's 95 % interval, beside other figures one by resampling the cases; seconds are one "
        "thread's processor time."
    )


def calibration(found: Json) -> str:
    """How often decisions are right that were taken with a certain probability."""
    of = found["calibration"]
    rows = [
        (
            f"{int(min(level['probability'] * 10, 9)) * 10}–"
            f"{int(min(level['probability'] * 10, 9)) * 10 + 10} %",
            str(level["n"]),
            f"{level['probability']:.1%}",
            share({"score": level["right"], "interval": level["interval"]}),
        )
        for level in of["levels"]
    ]
    summary = (
        f"{of['n']} held-out questions about scenes, {of['accuracy']:.1%} right, expected "
        f"calibration error {of['ece']:.3f}, {of['nll']:.3f} nats."
    )
    return f"{table(('probability', 'answers', 'mean', 'right'), rows)}\n\n{summary}"


def bins(found: Json) -> str:
    """A Sudoku model as exported, by where the clues stand and how many there are."""
    rows = []
    for title, of in exported(found).items():
        for bin in (*BINS, "all"):
            if bin in of:
                row = of[bin]
                cells = (f"{row['cells']:.1%}", f"{row['kept']:.1%}", f"{row['steps']:.1f}")
                milliseconds = f"{1000 * row['seconds']:.0f}"
                rows.append(
                    [
                        title.removeprefix("clues "),
                        bin,
                        str(row["n"]),
                        share(row),
                        *cells,
                        milliseconds,
                    ]
                )
    heads = ["clues", "how many", "puzzles", "solved", "cells right", "clues kept", "steps", "ms"]
    return f"{table(heads, rows)}\n\n{where(found)}"


def exported(found: Json) -> dict[str, Json]:
    """Rows of the exported settings: by place of the clues, what each bin came to."""
    head = "as exported, "
    rows = found["rows"].items()
    return {name.removeprefix(head): of["bins"] for name, of in rows if name.startswith(head)}


def ablations(found: Json) -> str:
    """Every way to ask, by bin."""
    heads = ["asked", *BINS, "all", "steps"]
    rows = []
    for name, row in found["rows"].items():
        of = row["bins"]
        cells = [f"{of[bin]['score']:.1%}" if bin in of else DASH for bin in BINS]
        rows.append([name, *cells, share(of["all"]), f"{of['all']['steps']:.1f}"])
    return table(heads, rows)


def hard(found: Json) -> str:
    """Puzzles of a file, whatever came out."""
    rows = [
        [
            name,
            how.removeprefix("clues "),
            str(of["n"]),
            share(of),
            f"{of['cells']:.1%}",
            f"{of['steps']:.1f}",
        ]
        for name, asked in found["hard"].items()
        for how, of in asked.items()
    ]
    if not rows:
        return "None given yet: `--hard FILE`."
    return table(("file", "clues", "puzzles", "solved", "cells right", "steps"), rows)


def training(found: Json) -> str:
    """The run that these weights came from."""
    of = found["training"]
    recipe = f"`{of['recipe']}`"
    if of["recipes"] > 1:
        recipe += f", the last of {of['recipes']}"
    rows = [("recipe", recipe), ("seed", str(of["seed"])), ("steps", f"{of['steps']:,}")]
    if of["views"]:
        rows.append(("puzzle views", f"{of['views']:,}"))
    rows += [("hours", f"{of['hours']:.1f}"), ("log", f"`{of['log']}`")]
    if of["by"]:
        rows.insert(0, ("command", f"`{of['by']}`"))
    return table(("", ""), rows)


def generations(found: Json) -> str:
    """All weights that were shipped here, the oldest first."""
    listed = found["generations"]
    names = list(dict.fromkeys(name for one in listed for name in one["scores"]))
    heads = ["weights", "commit", "recipe", "steps", "seed", *names, "cases"]
    rows = []
    for one in listed:
        mine = one["weights"] == found["weights"]
        scores = [f"{one['scores'][name]:.1%}" if name in one["scores"] else DASH for name in names]
        commit = f"`{one['commit']}`" if one["commit"] else "this one"
        steps = f"{one['steps']:,}" if one["steps"] else DASH
        weights = f"**`{one['weights'][:8]}`**" if mine else f"`{one['weights'][:8]}`"
        seed = DASH if one["seed"] is None else str(one["seed"])
        recipe = f"`{one['recipe']}`" if one["recipe"] else DASH
        rows.append([weights, commit, recipe, steps, seed, *scores, str(one["n"] or DASH)])
    return table(heads, rows)


def reproduce(found: Json) -> str:
    """The commands that lead here, and back to earlier weights."""
    of, place = found["training"], found["folder"]
    lines = [of["by"] or f"# {of['recipe']} has every setting of the run, and its seed"]
    lines.append(f"{found['command']}    # measures, and writes this card")
    lines.append("python -m tools.card --check")
    for one in found["generations"]:
        if one["commit"] and one["weights"] != found["weights"]:
            lines.append(f"git show {one['commit']}:{place}/model.safetensors > model.safetensors")
    return "```\n" + "\n".join(lines) + "\n```"


Parts = Mapping[str, Callable[[Json], str]]
SHARED: Parts = {
    "model": model,
    "training": training,
    "generations": generations,
    "reproduce": reproduce,
}
KINDS: Mapping[str, Parts] = {
    "tasks": {"numbers": scores, "calibration": calibration, **SHARED},
    "sudoku": {"numbers": bins, "ablations": ablations, "hard": hard, **SHARED},
}
"""What a card of each kind consists of, by the names of its marks."""


def summary(found: Json) -> dict[str, float]:
    """The scores by which generations are told apart: of each task by diffusion, or of each bin
    where the clues stand best."""
    if found.get("kind") == "sudoku":
        of = max(exported(found).values(), key=lambda bins: bins["all"]["score"])
        return {bin: of[bin]["score"] for bin in BINS if bin in of}
    reports = found.get("reports", [])
    return {one["task"]: one["score"] for one in reports if one["mode"] == "diffusion"}
