"""Writing a checkpoint folder: all of it or nothing, tensors streamed, shards of 5 GB at most."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canvaslm.checkpoint.folder import CONFIG, GENERATION, INDEX, WEIGHTS, Checkpoint
from canvaslm.checkpoint.safetensors import ALIGNMENT, StoredTensor, encode_header
from canvaslm.errors import CheckpointError, StorageError

SHARD_BYTES = 5_000_000_000
CARRIED = (".json", ".jinja", ".md", ".txt", ".model")  # tokenizer, template, cards, licences
SLACK = 1 << 20  # bytes of free space asked for beyond the tensors

Progress = Callable[[int, int], None]  # bytes of tensors written so far, and in all
Content = bytes | Path | Callable[[], bytes]  # of a file; a function is asked after the weights


@dataclass(frozen=True)
class TensorToWrite:
    """A tensor still to be made: its released name, type and shape, and its bytes when asked."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[bytes | bytearray | memoryview]]

    @property
    def size(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @classmethod
    def of(cls, name: str, make: Callable[[], Tensor], like: Tensor) -> TensorToWrite:
        """One that `make` builds when its turn comes; `like` (meta will do) has type and shape."""
        return cls(name, like.dtype, tuple(like.shape), lambda: [raw_bytes(make())])

    @classmethod
    def copy(cls, stored: StoredTensor) -> TensorToWrite:
        """One copied from another file, as it is."""
        return cls(stored.name, stored.dtype, stored.shape, stored.pieces)


def write_checkpoint(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
    tensors: Iterable[TensorToWrite],
    metadata: Mapping[str, str] | None = None,
    files: Mapping[str, Content] | None = None,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> Path:
    """Write a folder in the released layout and return its path; `files` go beside the weights.

    Everything is written to a sibling folder and renamed into place at the end, so a reader sees
    the old folder or the new one, and a failure leaves the old one. Raises CheckpointError if
    something is there already and may not be replaced, StorageError if the disk is full or may
    not be written; then nothing half-written is left behind.
    """
    target = Path(folder).expanduser().absolute()
    ordered = sorted(tensors, key=place)
    with replacing(target, overwrite=overwrite, size=sum(t.size for t in ordered)) as partial:
        write_weights(
            partial,
            ordered,
            metadata={"format": "pt"} | dict(metadata or {}),
            shard_bytes=shard_bytes,
            progress=progress,
        )
        for name, content in (files or {}).items():
            write_file(partial, name, content)
        write_json(partial / CONFIG, config)
        write_json(partial / GENERATION, generation)
    return target


def place(tensor: TensorToWrite) -> tuple[bool, int, str]:
    """Sorts so that data stay aligned: by name, and what is no whole number of lines at the end."""
    whole = tensor.size % ALIGNMENT == 0
    return not whole, 0 if whole else -tensor.dtype.itemsize, tensor.name


def carried_files(source: Checkpoint) -> dict[str, bytes | Path]:
    """What a saved copy of `source` keeps beside config and weights: tokenizer, template, cards."""
    own = {CONFIG, GENERATION, INDEX}
    return {
        path.name: path
        for path in sorted(source.path.iterdir())
        if path.is_file() and path.name not in own and path.suffix in ("", *CARRIED)
    }


@contextmanager
def replacing(target: Path, *, overwrite: bool, size: int, mark: str = CONFIG) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `target` when all went well.

    Only a folder with a file `mark` in it is ever replaced.
    """
    check_target(target, overwrite=overwrite, mark=mark)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < size + SLACK:
            raise StorageError(
                f"{target} needs {size / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free there; "
                "make room or choose another folder"
            )
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except StorageError:
        raise
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        partial.chmod(0o755)
        yield partial
        flush(partial)
        swap(partial, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(target: Path, *, overwrite: bool, mark: str = CONFIG) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise CheckpointError(
            f"{target} exists already; choose another folder or allow overwriting"
        )
    if not (target / mark).is_file():
        raise CheckpointError(
            f"{target} is not a checkpoint folder: it holds no {mark}, so it is not overwritten; "
            "choose another one"
        )


def swap(partial: Path, target: Path) -> None:
    """Put `partial` where `target` is; a failure on the way puts the old folder back."""
    old = partial.with_name(partial.name + ".old")
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_weights(
    folder: Path,
    tensors: Sequence[TensorToWrite],
    *,
    metadata: Mapping[str, str],
    shard_bytes: int,
    progress: Progress | None,
) -> None:
    total = sum(tensor.size for tensor in tensors)
    done = 0
    shards = split(tensors, shard_bytes)
    placed: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else WEIGHTS
        placed |= {tensor.name: name for tensor in shard}
        with (folder / name).open("wb") as stream:
            entries = {tensor.name: (tensor.dtype, tensor.shape) for tensor in shard}
            stream.write(encode_header(entries, metadata))
            for tensor in shard:
                for piece in tensor.pieces():
                    stream.write(piece)
                done += tensor.size
                if progress is not None:
                    progress(done, total)
            stream.flush()
            os.fsync(stream.fileno())
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        write_json(folder / INDEX, index)


def split(tensors: Sequence[TensorToWrite], shard_bytes: int) -> list[list[TensorToWrite]]:
    """Consecutive shards of at most `shard_bytes`; a larger tensor has a shard to itself."""
    shards: list[list[TensorToWrite]] = [[]]
    filled = 0
    for tensor in tensors:
        if shards[-1] and filled + tensor.size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.size
    return shards


def write_file(folder: Path, name: str, content: Content) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"the extra file {name!r} would land outside the checkpoint folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        if isinstance(content, Path):
            content = content.read_bytes()
        stream.write(content if isinstance(content, bytes) else content())
        stream.flush()
        os.fsync(stream.fileno())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_file(path.parent, path.name, text.encode())


def flush(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def raw_bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().view(-1)
    return flat.view(torch.uint8).numpy().data


def unwritable(target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{target} could not be written: {error.strerror or error}. Nothing half-written was left "
        "behind; make room, or choose a folder that may be written"
    )
