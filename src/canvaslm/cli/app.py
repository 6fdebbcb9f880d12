"""The `canvaslm` command: its subcommands, and how a failure ends it.

Exit codes: 0 done; 1 a bug, or the reader of our output went away; 2 a request that cannot be
served, with the reason on stderr; 130 interrupted; 143 or 129 ended by SIGTERM or SIGHUP.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, NoReturn

import typer

from canvaslm.cli import (
    bench,
    calibrate,
    chat,
    decide,
    demo,
    doctor,
    edit,
    eval,
    generate,
    infill,
    info,
    merge,
    new,
    output,
    quantize,
    repair,
    score,
    serve,
    show,
    train,
)
from canvaslm.cli.groups import grouped
from canvaslm.errors import CanvasError

app = typer.Typer(
    name="canvaslm",
    help="Text out of noise: an engine for DiffusionGemma, with a small model inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(grouped(demo.demo))
app.command("generate")(grouped(generate.generate))
app.command("chat")(grouped(chat.chat))
app.command("infill")(grouped(infill.infill))
app.command("edit")(grouped(edit.edit))
app.command("repair")(grouped(repair.repair))
app.command("decide")(grouped(decide.decide))
app.command("calibrate")(grouped(calibrate.calibrate))
app.command("score")(grouped(score.score))
app.command("serve")(grouped(serve.serve))
app.command("info")(info.info)
app.command("new")(new.new)
app.command("quantize")(grouped(quantize.quantize))
app.command("merge")(merge.merge)
app.add_typer(train.app, name="train")
app.add_typer(eval.app, name="eval")
app.add_typer(show.app, name="show")
app.command("bench")(grouped(bench.bench))
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"canvaslm {version('canvaslm')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    pass


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `args` (by default the process's own) and exit with its code."""
    # Before torch is imported: threads of OpenMP that spin while they wait keep the kernels' own
    # threads off the cores, which makes a pass of several canvases three times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with _signals_end_it(), output.plain_warnings():
            app(args=None if args is None else list(args), prog_name="canvaslm")
    except CanvasError as error:
        output.complain(error)
        sys.exit(2)
    sys.exit(0)


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """SIGTERM and SIGHUP raise, as Ctrl-C does, so that what is half-written is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread
        return
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)  # a second one must not stop the clearing
        raise SystemExit(128 + number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
