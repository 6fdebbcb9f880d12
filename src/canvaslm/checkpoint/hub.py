"""Where a checkpoint is: a folder on this machine, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from canvaslm.errors import CheckpointError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SHIPPED = {name: Path(__file__).resolve().parent.parent / name for name in ("pocket", "sudoku")}
"""The models that come with the package, by name."""

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.md"]


def resolve(where: str | Path) -> Path:
    """The folder `where` names: itself, that of a shipped model, or the local copy of a hub
    repository, fetched if needed.

    Only safetensors, JSON and text files are fetched. Raises CheckpointError if there is neither
    such a folder nor such a repository, or if the hub cannot be reached.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(
            f"{folder} is a file; expected the folder that holds config.json and *.safetensors"
        )
    if where in SHIPPED:
        return SHIPPED[str(where)]
    if not isinstance(where, str) or not HUB_ID.fullmatch(where):
        raise CheckpointError(
            f"no folder {str(where)!r}; expected a checkpoint folder, a hub id such as "
            f"'google/diffusiongemma-26B-A4B-it', or one of {', '.join(SHIPPED)}"
        )
    return fetch(where)


def fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, and rarely needed

    try:
        return Path(snapshot_download(hub_id, allow_patterns=WANTED))
    except Exception as error:  # the hub's and the network's errors share no narrower root
        raise CheckpointError(
            f"there is no folder {hub_id!r}, and the hub gave no such repository "
            f"({type(error).__name__}: {error}). Check the name, the network and `hf auth login`, "
            "or pass the path of a local folder"
        ) from error
