"""A run's folder: its settings, and a file with a line for each case, written as they come."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canvaslm.errors import CorruptFileError, ParameterError, StorageError
from canvaslm.eval.trials.record import Record, read

SETTINGS, CASES = "run.json", "cases.jsonl"
_PLACE = "place"
"""What of the settings may differ when a run is resumed: where it runs."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder with a run. A line is whole or not there: what was cut off is dropped."""

    path: Path

    @classmethod
    def begin(cls, path: Path, settings: Mapping[str, Any], *, resume: bool) -> Folder:
        """A new run, or with `resume` one that has the same settings.

        Raises ParameterError where there is another run, StorageError.
        """
        folder = cls(path=path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be made: {error.strerror}") from None
        if not (path / SETTINGS).exists():
            folder.put(SETTINGS, json.dumps(settings, indent=1) + "\n")
        elif not resume:
            raise ParameterError(
                f"{path} has a run: go on with it by --resume, or name another folder"
            )
        else:
            check_resumed(folder.settings, settings, path)
        folder._cut()
        return folder

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with. Raises CorruptFileError; ParameterError without a run."""
        file = self.path / SETTINGS
        try:
            values: Any = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ParameterError(
                f"{self.path} has no run: expected a folder that `canvaslm eval --out` has written"
            ) from None
        except (OSError, ValueError) as error:
            raise CorruptFileError(f"{file} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise CorruptFileError(f"{file} does not hold the settings of a run")
        return values

    def records(self) -> list[Record]:
        """The cases that are answered, in the order in which they came. Raises CorruptFileError."""
        file = self.path / CASES
        try:
            lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        except OSError as error:
            raise StorageError(f"{file} cannot be read: {error.strerror}") from None
        found = [
            read(line.decode(errors="replace"), where=f"{file}, line {number},")
            for number, line in enumerate(lines, start=1)
        ]
        if len({record.key for record in found}) < len(found):
            raise CorruptFileError(f"{file} has a case twice: two runs have written to it")
        return found

    def keep(self, records: Sequence[Record]) -> None:
        """Add cases, all of them or, with StorageError, none."""
        file, data = self.path / CASES, "".join(record.line() for record in records).encode()
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                _append(handle, data)
            finally:
                os.close(handle)
        except OSError as error:
            raise StorageError(f"{file} cannot be written: {error.strerror}") from None

    def put(self, name: str, text: str) -> Path:
        """Write a file of the folder, whole or not at all. Raises StorageError."""
        target = self.path / name
        try:
            handle, made = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(made, 0o644)
                os.replace(made, target)
            except BaseException:
                os.unlink(made)
                raise
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}") from None
        return target

    def _cut(self) -> None:
        """Take off a last line that was not written to its end."""
        file = self.path / CASES
        if not file.exists():
            return
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(file, whole)


def _append(handle: int, data: bytes) -> None:
    """Onto the disk, or nothing of it. Raises OSError."""
    before = os.fstat(handle).st_size
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise


def check_resumed(was: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Raise ParameterError for a run that would not be the same one."""
    names = sorted((was.keys() | now.keys()) - {_PLACE})
    told = [
        f"{name} was {was.get(name)!r} and is {now.get(name)!r}"
        for name in names
        if was.get(name) != json.loads(json.dumps(now.get(name)))
    ]
    if told:
        raise ParameterError(
            f"the run in {path} is another one: {'; '.join(told)}. Give what it was started with, "
            "or name another folder"
        )
