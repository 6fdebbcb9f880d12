"""What can be read of a model without running it: its weights, sizes, training and ancestors."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canvaslm import LM
from canvaslm.model.presets import parameter_count
from tools.readme import ROOT

Json = dict[str, Any]

MEASURED, CARD = "measured.json", "README.md"
WEIGHTS = "model.safetensors"
SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "decisions.json",
)


def weights_of(data: bytes) -> str:
    """What tells these weights from all others."""
    return hashlib.sha256(data).hexdigest()[:16]


def fingerprints(folder: Path) -> Json:
    """Of the weights, and of the settings they are asked with."""
    digest = hashlib.sha256()
    for name in SETTINGS:
        if (folder / name).exists():
            digest.update(f"{name} ".encode() + (folder / name).read_bytes())
    weights = weights_of((folder / WEIGHTS).read_bytes())
    return {"weights": weights, "settings": digest.hexdigest()[:16]}


def sizes(lm: LM, folder: Path) -> Json:
    """Parameters, bytes, and the network's shape."""
    config, layers = lm.config, lm.config.layers
    return {
        "parameters": parameter_count(config),
        "bytes": (folder / WEIGHTS).stat().st_size,
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
        "layers": len(layers),
        "sliding": sum(layer.window is not None for layer in layers),
        "width": config.hidden_size,
        "heads": layers[0].heads,
        "dense": config.intermediate_size,
        "experts": None if config.experts is None else asdict(config.experts),
        "canvas": config.canvas_length,
        "vocabulary": config.vocab_size,
        "context": config.max_positions,
    }


def training(run: Path) -> Json:
    """What a run's folder says: recipe, seed, steps, hours, and where the log lies."""
    recipes = sorted(run.glob("recipe*.json"), key=lambda path: (len(path.name), path.name))
    log = run / "log.jsonl"
    if not recipes or not log.exists():
        raise SystemExit(f"{run} is no run: expected recipe.json and log.jsonl in it")
    recipe = json.loads(recipes[-1].read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    return {
        "name": recipe.get("name", "?"),
        "recipe": shown(recipes[-1]),
        "recipes": len(recipes),
        "log": shown(log),
        "seed": recipe.get("seed"),
        "steps": int(lines[-1]["step"]) + 1,
        "hours": sum(line.get("seconds", 0.0) for line in lines) / 3600,
        "views": views(recipe, int(lines[-1]["step"]) + 1),
    }


def views(recipe: Json, steps: int) -> int | None:
    """Puzzles that a Sudoku run was shown, each time counted; None for other runs."""
    data = recipe.get("data", {})
    if not isinstance(data, dict) or data.get("kind") != "Puzzles":
        return None
    stages = data["stages"]
    ends = [stage["since"] for stage in stages[1:]] + [steps]
    shown = (
        max(0, min(end, steps) - stage["since"]) * (stage["documents"] + stage["alone"])
        for stage, end in zip(stages, ends, strict=True)
    )
    return int(sum(shown))


def shown(path: Path) -> str:
    """A path as the card names it: from the root of the repository where it lies in there."""
    whole = path.resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else path.as_posix()


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """Weights that a folder had in some commit, and what was known of them then."""

    commit: str
    date: str
    weights: str
    measured: Json
    training: Json


def ancestors(folder: Path) -> Iterator[Ancestor]:
    """Every weights that were committed in this folder, oldest first, by the last commit that
    touched the folder while they lay there; none outside a repository."""
    if not folder.resolve().is_relative_to(ROOT):
        return
    place, seen = shown(folder), dict[str, Ancestor]()
    listed = git("log", "--reverse", "--format=%h %cs", "--", place) or b""
    for line in listed.decode().splitlines():
        commit, date = line.split()
        data = git("show", f"{commit}:{place}/{WEIGHTS}")
        if data:
            measured = json.loads(git("show", f"{commit}:{place}/{MEASURED}") or b"{}")
            found = Ancestor(
                commit=commit,
                date=date,
                weights=weights_of(data),
                measured=measured,
                training=measured.get("training") or trained_then(commit, folder.name),
            )
            seen[found.weights] = found
    yield from seen.values()


def trained_then(commit: str, name: str) -> Json:
    """The last recipe that lay in docs/NAME in a commit."""
    listed = (git("ls-tree", "--name-only", commit, f"docs/{name}/") or b"").decode().split()
    recipes = [path for path in listed if Path(path).match("recipe*.json")]
    if not recipes:
        return {}
    last = max(recipes, key=lambda path: (len(path), path))
    recipe = json.loads(git("show", f"{commit}:{last}") or b"{}")
    return {"recipe": last, **{key: recipe.get(key) for key in ("name", "seed", "steps")}}


def git(*args: str) -> bytes | None:
    """What git says; None where it has no answer, or is not there."""
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
