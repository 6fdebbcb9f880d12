"""Problems in, samples out: the JSONL that the harness of `openai/human-eval-infilling` is fed."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from canvaslm.engine.checks import check_integer
from canvaslm.errors import ContextLengthError, StorageError, TaskError
from canvaslm.eval.infill_checks import UnitTest
from canvaslm.eval.infill_fill import Fill

_BEGINNING = b'{"task_id": '


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One line of a benchmark file: `prompt + completion + suffix` is run with `test`."""

    task_id: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str
    entry_point: str

    def passes(self, completion: str) -> bool:
        """Run the problem's test in the sandbox; never raises."""
        test = UnitTest(test=f"{self.test}\ncheck({self.entry_point})")
        return test.passes(self.prompt + completion + self.suffix)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `write_completions` did: lines written now, those found there, and of the new ones those
    left empty because the problem does not fit the model's context."""

    written: int
    found: int
    too_long: int


def read_problems(path: Path) -> list[Problem]:
    """The problems of a JSONL file, plain or gzipped. Raises TaskError, with the line's number."""
    problems: dict[str, Problem] = {}
    for where, line in _lines(path):
        problem = Problem(**_texts(where, line, tuple(field.name for field in fields(Problem))))
        if problem.task_id in problems:
            raise TaskError(f"{where}: task_id {problem.task_id!r} was there before")
        problems[problem.task_id] = problem
    if not problems:
        raise TaskError(f"{path} holds no problems: expected a JSON object on each line")
    return list(problems.values())


def read_completions(path: Path, problems: Sequence[Problem]) -> dict[str, str]:
    """task_id -> completion of a samples file; empty where there is no such file.

    Raises TaskError for a line that is no sample, or one of another benchmark.
    """
    if not path.exists():
        return {}
    known = {problem.task_id for problem in problems}
    found: dict[str, str] = {}
    for where, line in _lines(path):
        sample = _texts(where, line, ("task_id", "completion"))
        if sample["task_id"] not in known:
            raise TaskError(
                f"{where}: task_id {sample['task_id']!r} is none of these problems: give each "
                "benchmark a file of its own"
            )
        found[sample["task_id"]] = sample["completion"]
    return found


def write_completions(
    fill: Fill,
    problems: Sequence[Problem],
    out: Path,
    *,
    most: int | None = None,
    max_gap: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Append a line to `out` for each of the first `most` problems (None: of all) that has none
    there yet, each in one write.

    A run that was killed goes on where it stopped. `progress` is called with problems done, and
    those too long.
    Raises TaskError as `read_completions` does, StorageError if `out` cannot be written.
    """
    check_integer("max_gap", max_gap, least=1)
    if most is not None:
        check_integer("most", most, least=1)
    if out.suffix == ".gz":
        raise TaskError(f"samples are written line by line: give {out} a name without .gz")
    _mend_end(out)
    found = read_completions(out, problems)
    chosen = problems[:most]
    missing = [problem for problem in chosen if problem.task_id not in found]
    before = len(chosen) - len(missing)
    too_long = 0
    for done, problem in enumerate(missing, start=1):
        try:
            completion = fill(problem.prompt, problem.suffix, max_gap).text
        except ContextLengthError:
            completion = ""
            too_long += 1
        _append(out, json.dumps({"task_id": problem.task_id, "completion": completion}))
        if progress is not None:
            progress(before + done, too_long)
    return Written(written=len(missing), found=before, too_long=too_long)


def count_passed(
    problems: Sequence[Problem],
    completions: dict[str, str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """How many problems pass their test with their completion, run in the sandbox; one without a
    completion does not. `progress` is called with problems done, and passed."""
    passed = 0
    for done, problem in enumerate(problems, start=1):
        passed += problem.task_id in completions and problem.passes(completions[problem.task_id])
        if progress is not None:
            progress(done, passed)
    return passed


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """("file, line 3", text) of each line that is not blank."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line
    except FileNotFoundError:
        raise TaskError(f"{path} does not exist: give a JSONL file, plain or gzipped") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} cannot be read as JSONL: {error}") from None


def _texts(where: str, line: str, names: Sequence[str]) -> dict[str, str]:
    """The fields `names` of a JSON object, all of them strings; others are left aside."""
    try:
        values: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise TaskError(f"{where}: expected a JSON object, got {type(values).__name__}")
    wrong = [name for name in names if not isinstance(values.get(name), str)]
    if wrong:
        raise TaskError(
            f"{where}: {', '.join(wrong)} missing or no string; expected {', '.join(names)}"
        )
    return {name: values[name] for name in names}


def _append(path: Path, line: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None


def _mend_end(path: Path) -> None:
    """Finish a last line that lacks its line break, or take it away if a killed run tore it."""
    if not path.exists():
        return
    try:
        with path.open("r+b") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1
            torn = content[end:]
            if torn.endswith(b"}"):
                file.write(b"\n")
            elif torn.startswith(_BEGINNING[: len(torn)]):
                file.truncate(end)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None
