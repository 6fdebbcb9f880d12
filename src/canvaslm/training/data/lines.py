"""The lines of a file by number, read where they stand: only their places are kept in memory."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from pathlib import Path

from canvaslm.errors import TrainingError


class Lines:
    """Lines that are not blank. One pass finds their places and the file's fingerprint.

    Raises TrainingError for a file that cannot be read or has no such line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._starts, self._numbers = array("Q"), array("Q")
        digest, start = blake2b(digest_size=16), 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    digest.update(line)
                    if line.strip():
                        self._starts.append(start)
                        self._numbers.append(number)
                    start += len(line)
        except OSError as error:
            raise TrainingError(f"cannot read {self.path}: {error}; give a JSONL file") from error
        if not self._starts:
            raise TrainingError(f"{self.path} is empty: expected one JSON object a line")
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._starts)

    def where(self, index: int) -> str:
        """The file and the number of the line, for people."""
        return f"{self.path}, line {self._numbers[index]}"

    def read(self, index: int) -> str:
        """One line's text. Raises TrainingError if it is not UTF-8."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._starts[index])
                return file.readline().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TrainingError(f"{self.where(index)}: not UTF-8: {error}") from error
        except OSError as error:
            raise TrainingError(f"{self.where(index)}: cannot be read any more: {error}") from error
