"""A run of an evaluation: a model or a server, a folder, a bar, and what is said at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canvaslm.cli import eval_table, output
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.cli.eval_options import Budget, Kept, Source
    from canvaslm.eval.asking import Asking, Mode
    from canvaslm.eval.report import Report
    from canvaslm.eval.trials.answer import Asked
    from canvaslm.eval.trials.folder import Folder
    from canvaslm.eval.trials.record import Record
    from canvaslm.eval.trials.suite import Suite

KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the options ask for. Raises ParameterError for what would have no effect.

    together  requests at a time of a model here, where nothing is said
    """

    mode: Mode
    seed: int
    budget: Budget
    source: Source
    kept: Kept
    max_steps: int | None = None
    together: int = 1

    def __post_init__(self) -> None:
        if self.mode == "ar" and not self.source.remote and self.asking.batch > 1:
            raise ParameterError(
                f"mode ar answers one at a time: leave batch={self.asking.batch} out"
            )

    @cached_property
    def asking(self) -> Asking:
        """How every case is asked."""
        from canvaslm.eval.asking import Asking
        from canvaslm.eval.trials.remote import AT_ONCE

        here = 1 if self.mode == "ar" else self.together
        usual = AT_ONCE if self.source.remote else here
        return Asking(
            mode=self.mode,
            seed=self.seed,
            max_tokens=self.budget.max_tokens,
            effort=self.budget.effort,
            batch=usual if self.budget.batch is None else self.budget.batch,
            max_steps=self.max_steps,
        )


def carry_out(
    request: Request,
    cases: Callable[[], Sequence[Suite]],
    *,
    asked: Mapping[str, Any],
    as_json: bool,
    local: Callable[[LM], Asked] | None = None,
) -> None:
    """Ask what the run's folder does not hold yet, and report. `asked` says what the cases are,
    `local` who asks a model that is loaded here."""
    from canvaslm.eval.report import summarise

    model, machine = _model(request.source, local)
    suites = cases()
    settings = _settings(request, machine, asked, total=sum(len(one.examples) for one in suites))
    folder = _folder(request, settings)
    records = _answer(suites, model, request.asking, folder)
    reports = [
        summarise(records, task=one.name, asking=request.asking, bins=one.bins) for one in suites
    ]
    document = eval_table.document(reports, machine)
    if folder is not None:
        _write(folder, reports, records, document)
    if request.kept.plot is not None:
        from canvaslm.eval.pages.plot import plot

        plot(reports, request.kept.plot)
    if as_json:
        output.write_json(document)
    else:
        eval_table.show(reports, machine, folder=request.kept.out)


def _model(source: Source, local: Callable[[LM], Asked] | None) -> tuple[Asked, dict[str, str]]:
    """What is asked, and what is said of it."""
    from canvaslm.eval.trials.local import Local
    from canvaslm.eval.trials.remote import Remote

    if not source.remote or source.model is None:
        lm = source.load()
        return Local(lm=lm) if local is None else local(lm), source.measured(lm)
    remote = Remote.at(source.model, key=os.environ.get(KEY, ""))
    said = {"model": remote.model, "device": f"the server {remote.wire.url}", "dtype": "its own"}
    return remote, said


def _settings(
    request: Request, machine: Mapping[str, str], asked: Mapping[str, Any], *, total: int
) -> dict[str, Any]:
    said = dict(machine)
    return {
        "model": said.pop("model"),
        **asked,
        "cases": total,
        **asdict(request.asking),
        "place": {"device": said.pop("device")},
        **said,
        **_weights(request.source),
    }


def _weights(source: Source) -> dict[str, str]:
    """What tells these weights from others that have the same names."""
    from canvaslm.engine.loading import POCKET
    from canvaslm.eval.trials.weights import fingerprint

    folder = POCKET / "model.safetensors" if source.model is None else Path(source.model)
    found = {"checkpoint": fingerprint(folder)} if folder.exists() else {}
    if source.adapter is not None:
        found["adapter_weights"] = fingerprint(source.adapter.expanduser())
    return found


def _folder(request: Request, settings: Mapping[str, Any]) -> Folder | None:
    from canvaslm.eval.trials.folder import Folder

    kept = request.kept
    return None if kept.out is None else Folder.begin(kept.out, settings, resume=kept.resume)


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
