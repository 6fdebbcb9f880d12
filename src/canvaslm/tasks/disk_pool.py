"""Lines of text that took long to make, kept in the user's cache directory."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """$XDG_CACHE_HOME/canvaslm, by default ~/.cache/canvaslm; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rule: a relative path is invalid and counts as unset.
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "canvaslm"


def remembered(name: str, build: Callable[[], list[str]]) -> list[str]:
    """The lines of pool `name`, from disk if they are there and whole, else from `build`.

    The cache only saves time: a missing, damaged or unwritable one is never an error. `name`
    has to change whenever what `build` makes does. Lines hold no line breaks.
    """
    path = cache_directory() / f"{name}.txt"
    lines = _read(path)
    if lines is None:
        lines = build()
        if lines:
            _write(path, "\n".join(lines))
    return lines


def _digest(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()


def _read(path: Path) -> list[str] | None:
    try:
        digest, body = path.read_text(encoding="utf-8").split("\n", 1)
    except (OSError, ValueError):
        return None
    return body.split("\n") if digest == _digest(body) else None


def _write(path: Path, body: str) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(f"{_digest(body)}\n{body}")
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
