"""Score against steps: every rule of `effort` and its presets, on the same cases and draws.

    python bench/effort.py [FOLDER] [--n 500] [--tasks sudoku scenes ...] [--minutes 30]
        [--only fast quality] [--runs runs.jsonl] [--write docs]

Each rule is added to the published sampler by itself; the presets put several together. A case has
the same prompt and seed in every variant. What was answered is kept in --runs, so that a run goes
on where another stopped, and answers of other weights or of rules that have changed since do not
count. Times are those of one thread's processor time, which other work on the machine does not
move much. --write puts the table into DIR/effort.md, and effort.json and effort.svg into
DIR/pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm import LM, Params, tasks
from canvaslm.cli.progress import bar
from canvaslm.diffusion.correct import Doubtful, Renoise
from canvaslm.engine.efforts import PRESETS, Plan, Preset
from canvaslm.engine.loading import POCKET
from canvaslm.engine.mending import Mend
from canvaslm.eval.paired import Answered, Compared, compare
from canvaslm.eval.run import Plan as Cases
from canvaslm.eval.run import examples

REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The published sampler with a preset's rules and `bound` times the checkpoint's entropy
    bound."""

    preset: Preset
    bound: float = 1.0


RULES: dict[str, Variant] = {
    "end of text": Variant(preset=Preset(ending=1)),
    "end of text, at once": Variant(preset=Preset(ending=0)),
    "stable acceptance": Variant(preset=Preset(stable=True)),
    "cooling early": Variant(preset=Preset(over=4)),
    "cooling by progress": Variant(preset=Preset(cooling=True)),
    "sure": Variant(preset=Preset(sure=1)),
    "sure 3": Variant(preset=Preset(sure=3)),
    "unmoved 3": Variant(preset=Preset(unmoved=3)),
    "entropy bound x 3": Variant(preset=Preset(), bound=3),
    "half a canvas first": Variant(preset=Preset(plan=Plan(first_share=0.5))),
    "renoise": Variant(preset=Preset(correct=Renoise())),
    "renoise the doubtful": Variant(preset=Preset(correct=Doubtful())),
    "mend": Variant(preset=Preset(plan=Plan(mend=Mend()))),
    "mend from a warm start": Variant(preset=Preset(plan=Plan(mend=Mend(doubt=0.5)))),
}
VARIANTS = {
    REFERENCE: Variant(preset=PRESETS[REFERENCE]),
    **RULES,
    **{name: Variant(preset=preset) for name, preset in PRESETS.items() if name != REFERENCE},
}
MARKS = {"balanced": "#2a7fba", "fast": "#c8552d", "quality": "#3c8f4f"}
BEGIN, END = "<!-- bench/effort.py -->", "<!-- end -->"
Runs = dict[tuple[str, str], dict[int, Answered]]
"""Answers by case, of each task and variant."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The variants of one model, and where their answers are kept."""

    lm: LM
    weights: str
    runs: Path
    seed: int

    def variant(self, name: str) -> LM:
        """The model with one variant's rules, under the name of an effort."""
        variant = VARIANTS[name]
        presets = PRESETS | {"fast": variant.preset}
        bound = variant.bound * self.lm.settings.entropy_bound
        settings = replace(self.lm.settings, presets=presets, entropy_bound=bound)
        return LM(
            self.lm.model,
            tokenizer=self.lm.tokenizer,
            settings=settings,
            placement=self.lm.placement,
        )

    def known(self) -> Runs:
        """What earlier runs answered, with these weights and the rules as they are now."""
        found: Runs = {}
        lines = self.runs.read_text().splitlines() if self.runs.exists() else []
        for line in map(json.loads, lines):
            name = line["variant"]
            if self.stamp(name) == line["stamp"] and line["seed"] == self.seed:
                answer = Answered(**line["answer"])
                found.setdefault((line["task"], name), {})[line["case"]] = answer
        return found

    def stamp(self, name: str) -> str:
        """Changes with the weights and with the rules of the variant."""
        rules = repr(VARIANTS.get(name)) + repr(self.lm.settings)
        return hashlib.sha256((self.weights + rules).encode()).hexdigest()[:12]

    def answer(self, lm: LM, name: str, task: str, case: int, example: tasks.Example) -> Answered:
        effort = None if name == REFERENCE else "fast"
        params = Params(max_tokens=256, seed=self.seed * 1_000_000 + case, effort=effort)
        begun = time.process_time()
        result = lm.generate(example.prompt, params=params)
        seconds = time.process_time() - begun
        answer = Answered(
            correct=tasks.get(task).score(example, result.text).correct,
            steps=result.usage.steps,
            canvases=result.usage.canvases,
            tokens=result.usage.completion_tokens,
            milliseconds=round(1000 * seconds, 2),
        )
        line = {"task": task, "variant": name, "case": case, "seed": self.seed}
        with self.runs.open("a") as out:
            out.write(
                json.dumps(line | {"stamp": self.stamp(name), "answer": asdict(answer)}) + "\n"
            )
        return answer


def run(study: Study, *, n: int, names: list[str], only: list[str], minutes: float) -> Runs:
    """Answer what is missing, case after case, so that a run cut short is balanced."""
    runs = study.known()
    models = {name: study.variant(name) for name in only}
    asked = {task: examples(Cases(task=task, n=n, seed=study.seed)) for task in names}
    todo = list(missing(runs, n=n, names=names, only=only))
    until = time.monotonic() + 60 * minutes
    with bar() as progress:
        row = progress.add_task("answering", total=len(todo))
        for case, task, name in todo:
            if time.monotonic() > until:
                break
            answer = study.answer(models[name], name, task, case, asked[task][case])
            runs.setdefault((task, name), {})[case] = answer
            progress.advance(row)
    return runs


def missing(
    runs: Runs, *, n: int, names: list[str], only: list[str]
) -> Iterator[tuple[int, str, str]]:
    for case in range(n):
        for task in names:
            for name in only:
                if case not in runs.get((task, name), {}):
                    yield case, task, name


def compare_all(runs: Runs, names: list[str], only: list[str]) -> dict[str, dict[str, Compared]]:
    """By variant and task, against the reference."""
    return {
        name: {
            task: compare(runs[task, name], runs[task, REFERENCE])
            for task in names
            if runs.get((task, name), {}).keys() & runs.get((task, REFERENCE), {}).keys()
        }
        for name in only
    }


def table(found: dict[str, dict[str, Compared]], names: list[str]) -> str:
    """Markdown: a line for each variant; score, difference, steps and time for each task."""
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, row in found.items():
        cells = [cell(row[task], name) if task in row else "–" for task in names]
        label = f"**{name}**" if name in PRESETS else name
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(one: Compared, name: str) -> str:
    """Score ± its error; then what differs from the reference."""
    score = f"{one.score.mean:.1%} ± {100 * (one.score.error or 0):.1f}"
    if name == REFERENCE:
        return f"{score}, {one.steps:.2f} steps, {one.milliseconds:.0f} ms"
    difference, error = 100 * one.difference.mean, 100 * (one.difference.error or 0)
    return (
        f"{score} ({difference:+.1f} ± {error:.1f}), {one.steps:.2f} steps, "
        f"{one.time_ratio:.2f} of the time"
    )


def short_answers(found: dict[str, dict[str, Compared]], names: list[str]) -> str:
    """Markdown: the time of answers under 32 tokens over the reference's."""
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name in MARKS:
        row = found.get(name, {})
        cells = [
            "–"
            if task not in row or row[task].short_ratio is None
            else f"{row[task].short_ratio:.2f} ({row[task].short} answers)"
            for task in names
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(found: dict[str, dict[str, Compared]], names: list[str], path: Path) -> None:
    """Score against steps, a panel for each task: presets in colour, rules alone in grey."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "effort", "font.size": 8}
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(names), figsize=(2.6 * len(names), 3.1), squeeze=False)
    for panel, task in zip(panels[0], names, strict=True):
        for name, row in found.items():
            if task in row:
                mark(panel, name, row[task])
        panel.set(title=task, xlabel="steps per canvas", xscale="log")
        panel.set_xticks(
            [1, 2, 5, 10, 20, 50, 100], labels=["1", "2", "5", "10", "20", "50", "100"]
        )
        panel.minorticks_off()
        steps = [row[task].steps for row in found.values() if task in row] or [1.0]
        panel.set_xlim(min(*steps, 1.0) * 0.8, max(steps) * 1.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("answered rightly, %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), loc="lower center", ncols=len(shown), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def mark(panel: Any, name: str, one: Compared) -> None:
    """A point; presets and the reference with their standard error."""
    score, error = 100 * one.score.mean, 100 * (one.score.error or 0)
    if name in MARKS or name == REFERENCE:
        colour = MARKS.get(name, "black")
        panel.errorbar(one.steps, score, yerr=error, fmt="o", color=colour, label=name, zorder=3)
    else:
        panel.plot(one.steps, score, ".", color="#bbbbbb", label="one rule alone")


def write_pages(found: dict[str, dict[str, Compared]], names: list[str], folder: Path) -> None:
    """Put the table between the marks of effort.md; numbers and picture beside it."""
    pictures, page = folder / "pictures", folder / "effort.md"
    pictures.mkdir(exist_ok=True)
    values = {name: {task: asdict(one) for task, one in row.items()} for name, row in found.items()}
    (pictures / "effort.json").write_text(json.dumps(values, indent=1) + "\n")
    draw(found, names, pictures / "effort.svg")
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{report(found, names)}\n{END}{after}")


def report(found: dict[str, dict[str, Compared]], names: list[str]) -> str:
    reference = found[REFERENCE]
    cases = ", ".join(f"{reference[task].n} of {task}" for task in names if task in reference)
    return (
        f"Cases: {cases}.\n\n{table(found, names)}\n\nTime of short answers, over the "
        f"reference's:\n\n{short_answers(found, names)}"
    )


def fingerprint(folder: Path) -> str:
    """Of the weights in a checkpoint folder."""
    files: Iterable[Path] = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", help="default: the embedded model")
    parser.add_argument("--n", type=int, default=100, help="cases per task")
    parser.add_argument("--seed", type=int, default=5, help="of cases and answers")
    parser.add_argument("--tasks", nargs="+", default=list(tasks.TASKS))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long")
    parser.add_argument("--runs", type=Path, default=Path("effort-runs.jsonl"))
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = given.folder or POCKET
    study = Study(
        lm=canvaslm.load(folder), weights=fingerprint(folder), runs=given.runs, seed=given.seed
    )
    only = list(dict.fromkeys([REFERENCE, *given.only]))
    runs = run(study, n=given.n, names=given.tasks, only=only, minutes=given.minutes)
    found = compare_all(runs, given.tasks, only)
    if given.write is not None:
        write_pages(found, given.tasks, given.write)
    sys.stdout.write(report(found, given.tasks) + "\n")


if __name__ == "__main__":
    main()
