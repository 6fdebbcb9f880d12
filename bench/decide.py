"""Decisions on held-out questions about scenes: right, calibrated, independent, and how fast.

Each question is asked as the `ask` task words it: yes or no, one of several options, or, for "how
many", a place on a scale. Temperatures are fitted on other cases than those that are judged.

    python bench/decide.py [FOLDER] [--n 300] [--only quality order independence speed]
        [--json FILE] [--plot FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm import LM, Params, Pick, Rate, YesNo
from canvaslm.engine.decide.calibration import METHODS, soften
from canvaslm.engine.decide.decide import Asked, Rules
from canvaslm.engine.decide.examples import Example, gather
from canvaslm.engine.decide.fitting import Labelled, fit_all, quality
from canvaslm.engine.decide.layout import forks
from canvaslm.engine.decide.questions import Question
from canvaslm.engine.loading import POCKET
from canvaslm.eval.asked import asked
from canvaslm.eval.machine import describe_device
from canvaslm.tasks.scenes import COLOURS, KINDS, SIZES

COUNTS = (1, 4, 16, 64, 256, 400)
VARIANTS = {
    "as it is": Rules(),
    "2 orders": Rules(orders=2),
    "all orders": Rules(orders=255),
    "prior divided out": Rules(divide_prior=True),
    "both": Rules(orders=255, divide_prior=True),
}

Row = dict[str, Any]


def measure_quality(lm: LM, n: int) -> list[Row]:
    """Every method and way of removing bias: share right, and calibration before and after."""
    fitted_on, judged = asked(n, seed=1, split="train"), asked(n, seed=0, split="test")
    rows: list[Row] = []
    for method in METHODS:
        for name, variant in VARIANTS.items():
            rules = Rules(method=method, orders=variant.orders, divide_prior=variant.divide_prior)
            fits = fit_all(gather(lm.decider, fitted_on, rules=rules))
            found = gather(lm.decider, judged, rules=rules)
            for kind, fit in fits.items():
                before = [case for case in found if case.kind == kind]
                after = [at_temperature(case, fit.temperature) for case in before]
                rows.append(
                    {"method": method, "variant": name, "kind": kind}
                    | {"temperature": fit.temperature}
                    | {"before": asdict(quality(before)), "after": asdict(quality(after))}
                )
    return rows


def at_temperature(case: Labelled, temperature: float) -> Labelled:
    return Labelled(kind=case.kind, log_p=[v / temperature for v in case.log_p], right=case.right)


def measure_order(lm: LM, n: int) -> list[Row]:
    """How far probabilities move when the options of a choice are listed in every other order."""
    picks = [
        case for case in asked(4 * n, seed=0, split="test") if case.questions[0].kind == "pick"
    ][:n]
    rows: list[Row] = []
    for method in METHODS:
        moves: dict[str, list[float]] = {"as given": [], "averaged over rotations": []}
        changed = dict.fromkeys(moves, 0)
        for case in picks:
            by_order = in_every_order(lm, case, Rules(method=method))
            rotated = {order: average(by_order, order) for order in by_order}
            for name, found in (("as given", by_order), ("averaged over rotations", rotated)):
                spreads = [max(p) - min(p) for p in zip(*found.values(), strict=True)]
                moves[name].append(max(spreads))
                changed[name] += len({p.index(max(p)) for p in found.values()}) > 1
        for name, moved in moves.items():
            rows.append(
                {"method": method, "order": name, "n": len(picks)}
                | {"mean": statistics.mean(moved), "max": max(moved)}
                | {"changed": changed[name] / len(picks)}
            )
        rows.append(
            {"method": method, "order": "sorted (canvaslm)", "n": len(picks)}
            | sorted_moves(lm, picks, method)
        )
    return rows


Order = tuple[int, ...]


def in_every_order(lm: LM, case: Example, rules: Rules) -> dict[Order, list[float]]:
    """Probabilities of the options, read with the options listed in each order."""
    (question,) = case.questions
    decider, frame = lm.decider, lm.decider.frame(case.state)
    layout, options = decider.layout, decider.layout.options(question, frame)
    parts = forks(options)
    by_order: dict[Order, Asked] = {}
    for order in itertools.permutations(range(len(options))):
        own = layout.own(question, order, frame)
        causal = rules.method == "causal"
        reads = layout.causal_reads(own, parts) if causal else layout.reads(own, parts, options)
        by_order[order] = Asked(options=len(options), own=len(own), forks=parts, reads=reads)
    found = decider.look(frame, list(by_order.values()), rules).log_p
    return {order: soften(log_p, 1.0) for order, log_p in zip(by_order, found, strict=True)}


def average(by_order: dict[Order, list[float]], order: Order) -> list[float]:
    turns = [by_order[order[i:] + order[:i]] for i in range(len(order))]
    return [statistics.mean(p) for p in zip(*turns, strict=True)]


def sorted_moves(lm: LM, picks: Sequence[Example], method: Any) -> Row:
    """The same through `lm.decide`, given the options in every order."""
    moved, changed = [], 0
    for case in picks:
        question = case.questions[0]
        assert isinstance(question, Pick)
        values = [option.text for option in question.listed]
        same = [Pick(question.instructions, order) for order in itertools.permutations(values)]
        found = lm.decide(case.state, same, method=method).values()
        tables: list[Any] = list(found)
        moved.append(
            max(
                max(p) - min(p)
                for p in ([t.probabilities[value] for t in tables] for value in values)
            )
        )
        changed += len({t.choice for t in tables}) > 1
    return {"mean": statistics.mean(moved), "max": max(moved), "changed": changed / len(picks)}


def many_questions(count: int) -> list[Question]:
    """Questions of all three kinds, of different lengths, about any scene."""
    kinds: list[Question] = []
    for colour, kind, size in itertools.product(COLOURS, KINDS, SIZES):
        kinds += [
            YesNo(f"Is there a {colour} {kind}?"),
            Pick(f"What size is the {kind}?", list(SIZES)),
            YesNo(f"Is there a {size} shape?"),
            Rate(f"How many shapes are {colour}?", ["0", "1", "2", "3", "4"]),
        ]
    return list(itertools.islice(itertools.cycle(kinds), count))


def measure_independence(lm: LM, count: int) -> list[Row]:
    """The largest difference between a question's log-probabilities together and alone."""
    state, questions = asked(1, seed=0, split="test")[0].state, many_questions(count)
    rows: list[Row] = []
    for method in METHODS:
        rules = Rules(method=method)
        together = lm.decider.evidence(state, questions, rules=rules).log_p
        alone = [lm.decider.evidence(state, [q], rules=rules).log_p[0] for q in questions]
        gaps = [
            abs(a - b)
            for one, other in zip(together, alone, strict=True)
            for a, b in zip(one, other, strict=True)
        ]
        rows.append(
            {"method": method, "questions": count, "largest": max(gaps)}
            | {"at_a_time": lm.decider.together}
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds of the fastest round."""

    way: str
    questions: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.questions / self.seconds


def measure_speed(lm: LM, rounds: int, counts: Sequence[int]) -> list[Speed]:
    """Decisions in both methods, and the same answers generated one by one."""
    state = asked(1, seed=0, split="test")[0].state
    found = []

    def add(way: str, count: int, work: Callable[[], object]) -> None:
        found.append(Speed(way=way, questions=count, seconds=fastest(work, rounds)))

    for method in METHODS:
        for count in counts:
            add(method, count, partial(lm.decide, state, many_questions(count), method=method))
    prompts = [f"{state}\n{text_of(question)}" for question in many_questions(16)]
    generate = partial(lm.generate_many, prompts, params=Params(max_tokens=8, seed=0))
    add("generated", len(prompts), partial(generate, mode="diffusion"))
    add("generated left to right", len(prompts), partial(generate, mode="ar"))
    return found


def text_of(question: Question) -> str:
    listed = "" if question.kind == "yes_no" else " " + ", ".join(o.text for o in question.listed)
    return question.instructions + listed


def fastest(work: Callable[[], object], rounds: int) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def plot(speeds: Sequence[Speed], file: Path) -> None:
    """Milliseconds against questions on one state, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "canvaslm"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0))
    for method in METHODS:
        points = [speed for speed in speeds if speed.way == method]
        axes.plot(
            [p.questions for p in points], [1e3 * p.seconds for p in points], "o-", label=method
        )
    counts = sorted({speed.questions for speed in speeds if speed.way in METHODS})
    for speed, style in zip([s for s in speeds if s.way not in METHODS], ("--", ":"), strict=True):
        times = [1e3 * count / speed.per_second for count in counts]
        axes.plot(counts, times, style, color="gray", label=f"{speed.way}, one by one")
    axes.set(xscale="log", yscale="log", xlabel="questions on one state", ylabel="milliseconds")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=POCKET, help="default: embedded")
    parser.add_argument(
        "--n", type=int, default=300, help="questions judged, and as many to fit on"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parts = ["quality", "order", "independence", "speed"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--plot", type=Path, help="write the picture here, .svg or .png")
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for, print tables, write files."""
    options = arguments()
    torch.set_num_threads(options.threads)
    lm = canvaslm.load(options.folder)
    report: dict[str, Any] = {
        "machine": describe_device(lm.placement.device),
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
    }
    say(f"{report['machine']}, {report['dtype']}")
    if "quality" in options.only:
        report["quality"] = measure_quality(lm, options.n)
        say(quality_table(report["quality"]))
    if "order" in options.only:
        report["order"] = measure_order(lm, min(options.n, 60))
        say(order_table(report["order"]))
    if "independence" in options.only:
        report["independence"] = measure_independence(lm, 100)
        for row in report["independence"]:
            say(
                "{method}: {questions} questions together and alone, {at_a_time} at a time: "
                "largest difference {largest:g}".format(**row)
            )
    if "speed" in options.only:
        speeds = measure_speed(lm, options.rounds, options.counts)
        report["speed"] = [asdict(s) | {"per_second": s.per_second} for s in speeds]
        say(speed_table(speeds))
        if options.plot:
            plot(speeds, options.plot)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def say(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


def quality_table(rows: Sequence[Row]) -> str:
    lines = [
        f"{'':8} {'':18} {'':7} {'n':>4} {'right':>7} {'T':>6} {'ECE':>7} {'cal.':>7} "
        f"{'NLL':>7} {'cal.':>7}"
    ]
    for row in rows:
        before, after = row["before"], row["after"]
        lines.append(
            f"{row['method']:8} {row['variant']:18} {row['kind']:7} {before['n']:4} "
            f"{before['accuracy']:7.1%} {row['temperature']:6.2f} {before['ece']:7.3f} "
            f"{after['ece']:7.3f} {before['nll']:7.3f} {after['nll']:7.3f}"
        )
    return "\n".join(lines)


def order_table(rows: Sequence[Row]) -> str:
    lines = [
        f"{'':8} {'options listed':24} {'n':>4} {'mean move':>10} {'largest':>8} {'changed':>8}"
    ]
    for row in rows:
        lines.append(
            f"{row['method']:8} {row['order']:24} {row['n']:4} {row['mean']:10.4f} "
            f"{row['max']:8.4f} {row['changed']:8.1%}"
        )
    return "\n".join(lines)


def speed_table(speeds: Sequence[Speed]) -> str:
    slow = next(speed for speed in speeds if speed.way == "generated")
    lines = [f"{'':24} {'questions':>9} {'ms':>9} {'per second':>11} {'x generated':>12}"]
    for speed in speeds:
        lines.append(
            f"{speed.way:24} {speed.questions:9} {1e3 * speed.seconds:9.1f} "
            f"{speed.per_second:11.0f} {speed.per_second / slow.per_second:12.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
