"""A checkpoint is written whole or not at all."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from canvaslm.checkpoint import open_checkpoint
from canvaslm.checkpoint.save import TensorToWrite, write_checkpoint
from canvaslm.errors import CheckpointError, CorruptFileError, StorageError

MARK = "model.decoder.norm.weight"


def tensor(name: str, size: int = 4) -> TensorToWrite:
    return TensorToWrite(name, torch.uint8, (size,), lambda: [bytes(range(size))])


def failing(error: BaseException) -> TensorToWrite:
    def pieces() -> Iterator[bytes]:
        yield b"ab"
        raise error

    return TensorToWrite("z.failing", torch.uint8, (4,), pieces)


def write(folder: Path, *tensors: TensorToWrite, **options: object) -> Path:
    return write_checkpoint(
        folder,
        config={"a": 1},
        generation={},
        tensors=tensors or (tensor("x"),),
        **options,  # type: ignore[arg-type]
    )


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), StorageError),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), StorageError),
        (CorruptFileError("the source ended"), CorruptFileError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        write(tmp_path / "new", tensor("x"), failing(error))
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_checkpoint_as_it_was(tiny: Path) -> None:
    before = content(tiny)
    with pytest.raises(StorageError, match="could not be written"):
        write(tiny, failing(OSError(errno.EIO, "broken")), overwrite=True)
    assert content(tiny) == before
    assert [path.name for path in tiny.parent.iterdir()] == [tiny.name]


def test_a_full_disk_is_foreseen(tmp_path: Path) -> None:
    huge = TensorToWrite("x", torch.uint8, (1 << 60,), list)
    with pytest.raises(StorageError, match=r"needs 1152921504\.61 GB, and .* are free"):
        write(tmp_path / "new", huge)
    assert not list(tmp_path.iterdir())


def test_a_write_the_system_refuses_is_a_storage_error(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the error comes from the kernel."""
    code = f"""
import resource, sys, torch
from canvaslm.checkpoint.save import TensorToWrite, write_checkpoint
from canvaslm.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
big = TensorToWrite("x", torch.uint8, (100_000,), lambda: [bytes(100_000)])
try:
    write_checkpoint({str(tmp_path / "new")!r}, config={{}}, generation={{}}, tensors=[big])
except StorageError as error:
    sys.exit(0 if "could not be written" in str(error) else 2)
sys.exit(3)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_not_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        write(tmp_path / "file" / "new")


def test_nothing_is_overwritten_unasked(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        write(tiny)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not a checkpoint folder"):
        write(tmp_path / "documents", overwrite=True)
    assert (tmp_path / "documents" / "thesis.txt").exists()


def test_an_empty_folder_may_be_filled_and_a_checkpoint_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    write(tmp_path / "out", files={"note.md": b"2"}, overwrite=True)
    assert sorted(content(tmp_path / "out")) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "note.md",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_extra_files_stay_inside(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="outside the checkpoint folder"):
        write(tmp_path / "out", files={"../escaped": b""})
    assert not list(tmp_path.iterdir())


def test_shards_keep_their_limit_and_their_index(tmp_path: Path) -> None:
    sizes = {"a": 5, "b": 4, "c": 4, "d": 12, "e": 1}
    seen: list[tuple[int, int]] = []
    folder = write(
        tmp_path / "out",
        *(tensor(name, size) for name, size in sizes.items()),
        shard_bytes=10,
        progress=lambda done, total: seen.append((done, total)),
    )
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = [f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)]
    assert index["metadata"] == {"total_size": 26}
    assert index["weight_map"] == dict(
        zip("abcde", (files[0], files[0], files[1], files[2], files[3]), strict=True)
    )
    assert seen == [(5, 26), (9, 26), (13, 26), (25, 26), (26, 26)]


def test_a_file_whose_mapping_is_in_use_can_be_replaced(tiny: Path) -> None:
    """The old weights stay readable to whoever mapped them: a model may be saved over itself."""
    stored = open_checkpoint(tiny).tensors[MARK]
    mapped = stored.load(dtype=stored.dtype, device=torch.device("cpu"))
    before = mapped.clone()
    write(tiny, overwrite=True)
    assert torch.equal(mapped, before)
