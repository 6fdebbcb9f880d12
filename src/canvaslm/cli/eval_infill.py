"""`canvaslm eval infill`: score gaps filled in held-out functions, or fill those of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError, StorageError

if TYPE_CHECKING:
    from canvaslm.eval.infill import Sample
    from canvaslm.eval.infill_cases import InfillPlan
    from canvaslm.eval.infill_fill import Fill, Method
    from canvaslm.eval.infill_problems import Problem
    from canvaslm.eval.infill_report import InfillReport, InfillRow

_CASES = 200


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which gaps are filled, and how. Raises ParameterError for what would have no effect."""

    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            help="Cases, spread evenly over kinds and origins; the first so many PROBLEMS.",
            show_default=f"{_CASES}, or all problems",
        ),
    ] = None
    kind: Annotated[
        Literal["single-line", "multi-line", "random-span"] | None,
        typer.Option(help="Only gaps of this kind.", show_default=False),
    ] = None
    origin: Annotated[
        Literal["stdlib", "textbook"] | None,
        typer.Option(help="Only functions from there.", show_default=False),
    ] = None
    method: Annotated[
        Literal["infill", "completion", "prompt"] | None,
        typer.Option(
            help="completion, prompt: the same weights left to right, without and with what "
            "follows the gap.",
            show_default="all three, or infill for PROBLEMS",
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Chooses the cases, and is that of the answers.")] = 0
    max_gap: Annotated[int, typer.Option(help="Most tokens that a gap may get.")] = 64
    execute: Annotated[
        bool,
        typer.Option(
            "--execute",
            help="Run the filled functions that have a test, in a limited process. They were "
            "written by a model: this guards against accidents only.",
        ),
    ] = False
    samples: Annotated[
        Path | None,
        typer.Option(help="Write each case with what was filled in as JSONL.", show_default=False),
    ] = None
    problems: Annotated[
        Path | None,
        typer.Option(
            help="A file of openai/human-eval-infilling, .jsonl or .jsonl.gz, to fill instead.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the completions of PROBLEMS go; what is there is kept and not done again.",
            show_default=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.problems is None:
            _refuse(out=self.out)
        elif self.out is None:
            raise ParameterError("--problems needs --out: the file that the completions go to")
        else:
            _refuse(kind=self.kind, origin=self.origin, samples=self.samples)

    @property
    def plan(self) -> InfillPlan:
        """The held-out cases."""
        from canvaslm.eval.infill_cases import KINDS, ORIGINS, InfillPlan

        return InfillPlan(
            n=_CASES if self.n is None else self.n,
            seed=self.seed,
            kinds=[self.kind] if self.kind else KINDS,
            origins=[self.origin] if self.origin else ORIGINS,
            max_gap=self.max_gap,
        )


def infill(*, asked: Asked, source: options.Source, as_json: options.Json = False) -> None:
    """Gaps in held-out Python functions: exact, compiling and working ones, by kind and length."""
    if asked.problems is None or asked.out is None:
        _held_out(asked, source, as_json=as_json)
    else:
        _of_file(asked.problems, asked.out, asked, source, as_json=as_json)


def _held_out(asked: Asked, source: options.Source, *, as_json: bool) -> None:
    from canvaslm.eval.infill_fill import METHODS, fills

    plan, lm = asked.plan, source.load()
    filled = fills(lm, [asked.method] if asked.method else METHODS, seed=asked.seed)
    report = _measure(filled, plan, asked.execute, asked.samples)
    _show(report, source.measured(lm), as_json=as_json)


def _of_file(file: Path, out: Path, asked: Asked, source: options.Source, *, as_json: bool) -> None:
    from canvaslm.engine.checks import check_integer
    from canvaslm.eval.infill_fill import fills
    from canvaslm.eval.infill_problems import read_problems

    if asked.n is not None:
        check_integer("n", asked.n, least=1)
    problems, method = read_problems(file), asked.method or "infill"
    lm = source.load()
    fill = fills(lm, [method], seed=asked.seed)[method]
    done = _fill_problems(
        fill, problems, out, n=asked.n, max_gap=asked.max_gap, execute=asked.execute
    )
    said = {"problems": str(file), "out": str(out), "method": method, "seed": asked.seed}
    _show_problems(said | done | source.measured(lm), as_json=as_json)


def _refuse(**idle: object) -> None:
    given = [f"--{name}" for name, value in idle.items() if value]
    if given:
        other = "without" if "--out" in given else "with"
        raise ParameterError(f"{', '.join(given)} would have no effect {other} --problems")


def _measure(
    fills: Mapping[Method, Fill], plan: InfillPlan, execute: bool, samples: Path | None
) -> InfillReport:
    from canvaslm.eval.infill import measure_infill
    from canvaslm.eval.infill_report import summarise_infill

    with _progress(plan.n, "right") as advance, _recorder(samples) as record:
        found = measure_infill(fills, plan, execute=execute, record=record, progress=advance)
    return summarise_infill(found, plan, executed=execute)


def _fill_problems(
    fill: Fill,
    problems: Sequence[Problem],
    out: Path,
    *,
    n: int | None,
    max_gap: int,
    execute: bool,
) -> dict[str, Any]:
    from canvaslm.eval.infill_problems import count_passed, read_completions, write_completions
    from canvaslm.eval.report import wilson

    chosen = problems[:n]
    with _progress(len(chosen), "too long") as advance:
        done = write_completions(fill, problems, out, most=n, max_gap=max_gap, progress=advance)
    document = {"n": len(chosen), "max_gap": max_gap, **asdict(done)}
    if execute:
        completions = read_completions(out, problems)
        with _progress(len(chosen), "passed") as advance:
            passed = count_passed(chosen, completions, progress=advance)
        document |= {"passed": passed, "interval": wilson(passed, len(chosen))}
    return document


@contextmanager
def _progress(total: int, counted: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar

    text = TextColumn(f"{{task.fields[count]}} {counted}")
    with bar(MofNCompleteColumn(), TimeRemainingColumn(), text) as progress:
        row = progress.add_task("filling", total=total, count=0)
        yield lambda done, count: progress.update(row, completed=done, count=count)


@contextmanager
def _recorder(path: Path | None) -> Iterator[Callable[[Sample], None] | None]:
    """Writes each sample as it comes, so that an interrupted run leaves what it has found."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None

    def record(sample: Sample) -> None:
        file.write(json.dumps(sample.as_json()) + "\n")

    with file:
        yield record


def _show(report: InfillReport, machine: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        output.write_json(report.as_json() | machine)
        return
    console = output.console()
    plan = report.plan
    console.print(
        f"infill, {plan.n} cases, seed {plan.seed}, gaps of at most {plan.max_gap} tokens, "
        f"{output.named(machine)}"
    )
    for method, origins in report.rows.items():
        table = output.figures(
            method,
            "cases",
            "exact",
            "trimmed",
            "95 %",
            "compiles",
            "passed",
            "tokens",
            "steps",
            "s",
        )
        for origin, rows in origins.items():
            for name, row in rows.items():
                style = "bold" if name == "all" else None
                table.add_row(f"{origin}, {name}", *_figures(row), style=style)
        console.print(table)
    if not report.executed:
        console.print("nothing was run: --execute runs the functions that have a test")
    console.print(f"{machine['device']}, {machine['dtype']}")


def _figures(row: InfillRow) -> Sequence[str]:
    low, high = row.interval
    return (
        str(row.n),
        _share(row.exact, row.n),
        _share(row.trimmed, row.n),
        f"{low * 100:.0f}–{high * 100:.0f}",
        _share(row.compiles, row.n),
        _share(row.passed, row.tested) + (f" of {row.tested}" if row.tested else ""),
        f"{row.tokens:.1f}",
        f"{row.steps:.1f}",
        f"{row.seconds:.3f}",
    )


def _share(count: int, n: int) -> str:
    return f"{count / n:.1%}" if n else "–"


def _show_problems(document: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.write_json(document)
        return
    output.write(
        f"{document['n']} problems: {document['written']} filled now, {document['found']} before; "
        f"{document['too_long']} too long for the model; in {document['out']}\n"
    )
    if "passed" in document:
        low, high = document["interval"]
        output.write(
            f"{document['passed']} passed, {document['passed'] / document['n']:.1%} "
            f"({low * 100:.0f}–{high * 100:.0f})\n"
        )
