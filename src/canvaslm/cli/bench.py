"""`canvaslm bench`: what a pass of a model costs here, each number beside its ceiling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.cli.bench_options import Answering, Loading, Timing, What, Work, setting_of

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.kernels.cpu.peaks import Peaks
    from canvaslm.measure.passes import Setting


def bench(
    *,
    what: Annotated[
        What,
        typer.Argument(
            help="A denoising step; reading a prompt; appending a canvas to its prefix; one token "
            "from left to right; whole answers.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None, typer.Argument(help="Folder or hub id; without it, the embedded model.")
    ] = None,
    work: Work,
    answering: Answering,
    timing: Timing,
    loading: Loading,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small probes for the machine's peaks: less exact.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure a pass: seconds, memory, the share of each part, beside this machine's peaks."""
    import torch

    from canvaslm.eval.machine import core_count
    from canvaslm.measure.ceilings import measure_ceilings

    work.check(what)
    answering.check(what)
    torch.set_num_threads(timing.threads or core_count())
    lm = loading.load(model)
    setting = setting_of(what, work, timing, usual_canvas=lm.config.canvas_length)
    probe = partial(measure_ceilings, quick=quick)
    if what == "generate":
        document = _answer(lm, setting, answering, probe)
    else:
        document = _measure(lm, what, setting, probe)
    _show({"model": model or "embedded"} | document, as_json=as_json)


def _answer(
    lm: LM, setting: Setting, answering: Answering, probe: Callable[[], Peaks]
) -> dict[str, Any]:
    from canvaslm.measure.bench import measure_answers

    return measure_answers(
        lm,
        setting,
        probe=probe,
        mode=answering.mode or "diffusion",
        tokens=answering.max_tokens or lm.config.canvas_length,
        max_steps=answering.max_steps,
    )


def _measure(
    lm: LM,
    what: Literal["step", "prefill", "commit", "token"],
    setting: Setting,
    probe: Callable[[], Peaks],
) -> dict[str, Any]:
    from rich.progress import MofNCompleteColumn

    from canvaslm.cli.progress import bar
    from canvaslm.measure.bench import measure

    with bar(MofNCompleteColumn()) as progress:
        row = progress.add_task(what, total=None)
        return measure(
            lm,
            what,
            setting,
            probe=probe,
            watch=lambda done, total: progress.update(row, completed=done, total=total),
        )


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    """Tables, or one document after them; then the tables go to stderr."""
    from canvaslm.cli.bench_table import write_tables

    write_tables(document, to_stderr=as_json)
    if as_json:
        output.write_json(document)
