"""A teacher's answers: asked once, judged by the task's scorer, kept line by line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Literal, get_args

from canvaslm import tasks
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Mode, Params
from canvaslm.errors import TrainingError
from canvaslm.tasks import Example, Score, Task
from canvaslm.training.files import append_line, write_text

Verdict = Literal["right", "valid", "wrong"]
"""Right by the task's scorer; only well formed (code that compiles, SVG, JSON); neither."""

Taught = Mapping[str, Sequence[Example]]
Progress = Callable[[int, int], None]

WELL_FORMED = ("compiles", "valid")
FIELDS = {*Example.__dataclass_fields__, "given", "verdict"}


def teach(
    lm: LM,
    path: Path,
    *,
    task: str,
    count: int,
    seed: int = 0,
    mode: Mode = "ar",
    progress: Progress | None = None,
) -> None:
    """Ask `lm` about `count` training examples of `task`, a line in `path` for each.

    Example i and the seed of its answer depend on (task, seed, i) alone; what the file holds is not
    asked again. `mode` is how the teacher takes its many steps: canvas by canvas, or token by token
    with the same weights. `progress` is called with lines there are, and answers kept. Raises
    TrainingError for a file of another task or seed.
    """
    maker = tasks.get(task)
    mend(path)
    known = lines(path) if path.exists() else []
    check_same(known, maker, path, seed=seed)
    kept = sum(line["verdict"] != "wrong" for line in known)
    for number in range(len(known), count):
        example = question(maker, seed, number)
        text = lm.generate(example.prompt, params=Params(seed=number), mode=mode).text
        verdict = judge(maker.score(example, text))
        kept += verdict != "wrong"
        line = asdict(example) | {"given": text, "verdict": verdict}
        append_line(path, json.dumps(line))
        if progress is not None:
            progress(number + 1, kept)


def question(maker: Task, seed: int, number: int) -> Example:
    return maker.sample(random.Random(f"{maker.name}/{seed}/{number}"), split="train")


def check_same(known: Sequence[Mapping[str, str]], maker: Task, path: Path, *, seed: int) -> None:
    """Raise TrainingError if the last answer is to another question than it would be here."""
    if known and known[-1]["prompt"] != question(maker, seed, len(known) - 1).prompt:
        raise TrainingError(
            f"{path} was begun with another seed or task than {seed} and {maker.name}: go on with "
            "that, or choose another file"
        )


def mend(path: Path) -> None:
    """Drop a last line that was cut off when the teacher was stopped."""
    if path.exists() and not (text := path.read_text("utf-8")).endswith("\n"):
        write_text(path, text[: text.rfind("\n") + 1])


def judge(score: Score) -> Verdict:
    if score.correct:
        return "right"
    parts = [score.details[name] for name in WELL_FORMED if name in score.details]
    return "valid" if parts and min(parts) == 1 else "wrong"


def read_taught(path: str, *, task: str) -> list[Example]:
    """The examples whose answers earned a reward: right ones as the task has them, well-formed ones
    as the teacher wrote them. Raises TrainingError if there are none, or the file is none."""
    found = []
    for line in lines(Path(path)):
        example = {name: line[name] for name in Example.__dataclass_fields__}
        if line["verdict"] == "valid":
            example["answer"] = line["given"]
        if line["verdict"] != "wrong":
            found.append(Example(**example))
    if not found or any(one.task != task for one in found):
        raise TrainingError(f"{path} holds no answers of a teacher to {task} that could be learnt")
    return found


def lines(path: Path) -> list[dict[str, str]]:
    """All lines. Raises TrainingError for a file that is none of a teacher's."""
    try:
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if all(line["verdict"] in get_args(Verdict) and line.keys() >= FIELDS for line in found):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} holds no answers of a teacher: {error}") from error
    raise TrainingError(f"{path} holds no answers of a teacher: a field or verdict is unknown")


def fingerprint(taught: Taught) -> str:
    """Differs where any answer does."""
    digest = blake2b(digest_size=8)
    for task in sorted(taught):
        for example in taught[task]:
            digest.update(repr((task, example.prompt, example.answer)).encode())
    return f"walked/{digest.hexdigest()}"
