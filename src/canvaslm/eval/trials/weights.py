"""What tells the weights in a folder from others, without reading them whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from canvaslm.errors import CheckpointError

_ENDS = 1 << 16
_MEASURED = "measured.json"
"""What a card says of a model, which is no part of it."""


def fingerprint(path: Path) -> str:
    """A hash of names, sizes, starts and ends of a checkpoint's files. Raises CheckpointError."""
    files = [path] if path.is_file() else sorted(path.glob("*"))
    digest = hashlib.sha256()
    try:
        for file in files:
            if file.suffix not in (".safetensors", ".gguf", ".json") or file.name == _MEASURED:
                continue
            size = file.stat().st_size
            with file.open("rb") as stream:
                digest.update(f"{file.name} {size} ".encode() + stream.read(_ENDS))
                stream.seek(max(0, size - _ENDS))
                digest.update(stream.read())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:16]
