"""A model's pass measured whole: repeated, divided into parts, counted and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from canvaslm.engine.lm import LM
from canvaslm.engine.params import Mode, Params
from canvaslm.eval import machine
from canvaslm.kernels.cpu.peaks import Peaks
from canvaslm.measure.memory import peak_memory
from canvaslm.measure.parts import Watched, formats_of
from canvaslm.measure.passes import Pass, Setting, random_ids, time_passes
from canvaslm.measure.report import STEPS_PER_CANVAS, Spread, described, implied_speed, parts
from canvaslm.measure.work import Shape, Work, count

Watch = Callable[[int, int], None]  # passes done, and in all


def measure(
    lm: LM,
    what: Pass,
    setting: Setting,
    *,
    probe: Callable[[], Peaks],
    watch: Watch = lambda done, total: None,
) -> dict[str, Any]:
    """Time a pass and return the document that `canvaslm bench` prints.

    `probe` is asked for the machine's peaks before and after, and the best of both count. At least
    one pass has to warm up: what comes before it is not told apart from it. Raises
    ContextLengthError where prefix and canvas do not fit the model's context.
    """
    assert setting.warmup > 0
    before = probe()
    watched = Watched(lm)
    seconds: list[float] = []
    total = setting.warmup + setting.repeat
    watched.reset()
    for number, spent in enumerate(time_passes(watched.lm, what, setting), start=1):
        if number == setting.warmup:
            watched.reset()
        if number > setting.warmup:
            seconds.append(spent)
        watch(number, total)
    follows = speed(lm, what, setting, Spread.of(seconds).median)
    memory = peak_memory()  # before the probe takes its own
    peaks = before.or_better(probe())
    whole = sum(seconds) / len(seconds)
    each = {name: spent / len(seconds) for name, spent in watched.seconds().items()}
    work = work_of(lm, what, setting)
    found = parts(each, work, whole=whole, peaks=peaks)
    document = about(lm, what, setting, peaks) | {
        f"seconds_per_{what}": asdict(Spread.of(seconds)),
        "floor_seconds": sum(one.floor(peaks) for one in work.values()),
        "operations": sum(one.operations for one in work.values()),
        "bytes": sum(one.bytes for one in work.values()),
        "parts": {name: asdict(one) for name, one in found.items()},
    }
    return document | follows | {"peak_memory_bytes": memory}


def measure_answers(
    lm: LM,
    setting: Setting,
    *,
    probe: Callable[[], Peaks],
    mode: Mode,
    tokens: int,
    max_steps: int | None,
) -> dict[str, Any]:
    """Time whole answers to a prompt of random ids."""
    peaks = probe()
    prompt = random_ids(lm, 1, setting.prefix, seed=setting.seed)[0].tolist()
    params = Params(max_tokens=tokens, seed=setting.seed, max_steps=max_steps)
    usages = [
        lm.generate(prompt, params=params, mode=mode).usage
        for _ in range(setting.warmup + setting.repeat)
    ][setting.warmup :]
    said = [usage.completion_tokens / usage.seconds for usage in usages]
    return about(lm, "generate", setting, peaks) | {
        "mode": mode,
        "tokens": [usage.completion_tokens for usage in usages],
        "steps": [usage.steps for usage in usages],
        "canvases": [usage.canvases for usage in usages],
        "seconds_per_answer": asdict(Spread.of([usage.seconds for usage in usages])),
        "tokens_per_second": asdict(Spread.of(said)),
        "peak_memory_bytes": peak_memory(),
    }


def about(lm: LM, what: str, setting: Setting, peaks: Peaks) -> dict[str, Any]:
    """What is measured, where, and what this machine could do."""
    formats = formats_of(lm)
    return {
        "measured": what,
        "machine": f"{machine.cpu_name()}, {machine.core_count()} cores",
        "network": type(lm.network).__name__,
        "weights": asdict(formats),
        "prefix": setting.prefix,
        "prefix_made_of": "random K/V" if setting.random_prefix else "random ids, encoded",
        "canvas": setting.canvas,
        "rows": setting.rows,
        "peaks": described(peaks),
    }


def speed(lm: LM, what: Pass, setting: Setting, seconds: float) -> dict[str, Any]:
    """Tokens a second that follow from the seconds of one pass."""
    if what == "prefill":
        return {"tokens_per_second": setting.prefix / seconds}
    if what == "commit":
        return {"tokens_per_second": setting.canvas * setting.rows / seconds}
    if what == "token":
        return {"tokens_per_second": setting.rows / seconds}
    once = replace(setting, repeat=1, warmup=0, fill="random")
    (commit,) = time_passes(lm, "commit", once)
    return {
        "seconds_per_commit": commit,
        "implied": {
            "steps_per_canvas": STEPS_PER_CANVAS,
            "tokens_per_second": implied_speed(
                seconds, commit, canvas=setting.canvas, rows=setting.rows
            ),
        },
    }


def work_of(lm: LM, what: Pass, setting: Setting) -> dict[str, Work]:
    """Counted from sizes; a prefill is one pass here, however it is cut into pages."""
    rows, canvas = setting.rows, setting.canvas
    shapes = {
        "step": Shape(
            rows=rows, tokens=canvas, prefix=setting.prefix, read=rows * canvas, soft=True
        ),
        "commit": Shape(rows=rows, tokens=canvas, prefix=setting.prefix, causal=True),
        "token": Shape(rows=rows, tokens=1, prefix=setting.prefix, causal=True, read=rows),
        "prefill": Shape(rows=1, tokens=setting.prefix, prefix=0, causal=True),
    }
    return count(lm.config, formats_of(lm), shapes[what])
