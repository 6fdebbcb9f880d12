"""A run of an evaluation: a model or a server, a folder, a bar, and what is said at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canvaslm.cli import eval_table, options, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.engine.params import Effort
    from canvaslm.eval.asking import Asking, Mode
    from canvaslm.eval.report import Report
    from canvaslm.eval.trials.answer import Asked
    from canvaslm.eval.trials.folder import Folder
    from canvaslm.eval.trials.record import Record
    from canvaslm.eval.trials.suite import Suite

KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the options ask for. Raises ParameterError for what would have no effect."""

    model: str | None
    device: str
    dtype: str
    mode: Mode
    seed: int
    max_tokens: int
    effort: Effort | None
    batch: int | None
    out: Path | None
    resume: bool
    plot: Path | None

    def __post_init__(self) -> None:
        _ = self.asking
        if self.mode == "ar" and not self.remote and self.asking.batch > 1:
            raise ParameterError(f"mode ar answers one at a time: leave batch={self.batch} out")
        if self.resume and self.out is None:
            raise ParameterError("--resume goes on with a run in a folder: name it with --out")
        if self.remote and (self.device, self.dtype) != ("auto", "auto"):
            raise ParameterError("--device and --dtype would have no effect on a server")
        if self.plot is not None:
            from canvaslm.eval.pages.plot import check

            check(self.plot)

    @property
    def remote(self) -> bool:
        """Whether the model is behind a server."""
        return (self.model or "").startswith(("http://", "https://"))

    @property
    def asking(self) -> Asking:
        """How every case is asked."""
        from canvaslm.eval.asking import Asking
        from canvaslm.eval.trials.remote import AT_ONCE

        usual = AT_ONCE if self.remote else 1
        return Asking(
            mode=self.mode,
            seed=self.seed,
            max_tokens=self.max_tokens,
            effort=self.effort,
            batch=usual if self.batch is None else self.batch,
        )


def carry_out(
    request: Request,
    cases: Callable[[], Sequence[Suite]],
    *,
    asked: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Ask what the run's folder does not hold yet, and report. `asked` says what the cases are."""
    from canvaslm.eval.report import summarise

    model, machine = _model(request)
    suites = cases()
    settings = _settings(request, machine, asked, total=sum(len(one.examples) for one in suites))
    folder = _folder(request, settings)
    records = _answer(suites, model, request.asking, folder)
    reports = [summarise(records, task=one.name, asking=request.asking) for one in suites]
    document = eval_table.document(reports, machine)
    if folder is not None:
        _write(folder, reports, records, document)
    if request.plot is not None:
        from canvaslm.eval.pages.plot import plot

        plot(reports, request.plot)
    if as_json:
        output.write_json(document)
    else:
        eval_table.show(reports, machine, folder=request.out)


def _model(request: Request) -> tuple[Asked, dict[str, str]]:
    """What is asked, and what is said of it."""
    from canvaslm.eval.trials.local import Local
    from canvaslm.eval.trials.remote import Remote

    if not request.remote or request.model is None:
        lm = options.load(request.model, device=request.device, dtype=request.dtype)
        return Local(lm=lm), output.measured(lm, request.model)
    remote = Remote.at(request.model, key=os.environ.get(KEY, ""))
    said = {"model": remote.model, "device": f"the server {remote.wire.url}", "dtype": "its own"}
    return remote, said


def _settings(
    request: Request, machine: Mapping[str, str], asked: Mapping[str, Any], *, total: int
) -> dict[str, Any]:
    from canvaslm.eval.trials.weights import fingerprint

    said, path = dict(machine), Path(request.model or "")
    if request.model is not None and path.exists():
        said["checkpoint"] = fingerprint(path)
    return {
        "model": said.pop("model"),
        **asked,
        "cases": total,
        **asdict(request.asking),
        "place": {"device": said.pop("device")},
        **said,
    }


def _folder(request: Request, settings: Mapping[str, Any]) -> Folder | None:
    from canvaslm.eval.trials.folder import Folder

    if request.out is None:
        return None
    return Folder.begin(request.out, settings, resume=request.resume)


def _answer(
    suites: Sequence[Suite], model: Asked, asking: Asking, folder: Folder | None
) -> list[Record]:
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from canvaslm.cli.progress import bar
    from canvaslm.eval.trials.answer import answer

    right = TextColumn("{task.fields[right]} right")
    with bar(MofNCompleteColumn(), TimeRemainingColumn(), right) as progress:
        total = sum(len(suite.examples) for suite in suites)
        row = progress.add_task("answering", total=total, right=0)
        return answer(
            suites,
            model,
            asking,
            known=() if folder is None else folder.records(),
            keep=None if folder is None else folder.keep,
            progress=lambda done, right: progress.update(row, completed=done, right=right),
        )


def _write(
    folder: Folder,
    reports: Sequence[Report],
    records: Sequence[Record],
    document: Mapping[str, Any],
) -> None:
    from canvaslm.eval.pages.page import page

    folder.put("report.json", json.dumps(document, indent=1) + "\n")
    folder.put("report.html", page(reports, records, folder.settings))
