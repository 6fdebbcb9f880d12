"""A folder of floats to a folder of few bits, one matrix after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import is_vision
from canvaslm.checkpoint.quantised_config import KEY, declare, group
from canvaslm.checkpoint.quantised_layouts import encode, encoded_like
from canvaslm.checkpoint.safetensors import StoredTensor
from canvaslm.checkpoint.save import (
    Progress,
    TensorToWrite,
    carried_files,
    check_target,
    raw_bytes,
    write_checkpoint,
)
from canvaslm.engine.quantised.matrices import FolderSource, Matrix, kept_names, matrices
from canvaslm.engine.quantised.report import FILE, Report
from canvaslm.engine.quantised.rounder import Importance, Rounder, round_one, rounded_format
from canvaslm.errors import ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.quant.rounding import check_finite
from canvaslm.quant.scheme import Scheme

IGNORED = (
    "lm_head",
    "re:.*router.*",
    "re:.*self_conditioning.*",
    "re:.*vision_tower.*",
    "re:.*embed_vision.*",
)
"""Modules with matrices that no scheme rounds, as readers of `quantization_config` match them."""


def quantise_folder(
    source: Checkpoint,
    folder: str | Path,
    scheme: Scheme,
    *,
    importance: Importance | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` rounded; tokenizer, template, settings and image encoder come along.

    Memory holds a few matrices at a time. Raises ParameterError where a group does not divide a
    matrix or `source` is quantised already, StorageError where the disk has no room, both before
    any work is done; CheckpointError if the folder exists and may not be overwritten, TensorError
    for a tensor that is missing or holds a NaN. Nothing half-written is left behind.
    """
    check_source(source, scheme)
    report = Report(scheme=scheme, calibrated=bool(importance), bytes_before=source.size)
    floats = FolderSource(source)
    rounded = to_round(source.config, scheme)
    declared = declare_scheme(rounded, scheme)
    with Rounder(
        rounded,
        lambda matrix: round_one(matrix, floats.floats(matrix), scheme, importance or {}),
        threads=torch.get_num_threads(),
    ) as rounder:
        parts = [part for m in rounded for part in Parts(m, scheme, rounder, report).tensors()]
        tensors = [*parts, *kept_tensors(floats, scheme), *vision(source)]
        floats.tensors.finish()
        report.bytes_after = sum(tensor.size for tensor in tensors)
        write_checkpoint(
            folder,
            config={**source.raw_config, KEY: declared},
            generation=source.generation,
            tensors=tensors,
            metadata=source.metadata,
            files={**carried_files(source), FILE: report.encoded},
            overwrite=overwrite,
            progress=progress,
        )
    return report


def check_request(
    source: Checkpoint, folder: str | Path, scheme: Scheme, *, overwrite: bool
) -> None:
    """What `quantise_folder` would refuse at once, for whoever has work to do before it."""
    check_source(source, scheme)
    check_target(Path(folder).expanduser().absolute(), overwrite=overwrite)
    declare_scheme(to_round(source.config, scheme), scheme)


def to_round(config: ModelConfig, scheme: Scheme) -> list[Matrix]:
    """The matrices that a scheme rounds, in the order of the files."""
    found = (matrix for matrix in matrices(config) if rounded_format(scheme, matrix) is not None)
    return sorted(found, key=lambda matrix: matrix.module)


def check_source(source: Checkpoint, scheme: Scheme) -> None:
    """Raises ParameterError for a folder rounded already, and a scheme that rounds nothing."""
    if source.quantised:
        raise ParameterError(
            f"{source.path} is quantised already, and rounding twice only loses: quantise the "
            "checkpoint that it was made from"
        )
    if scheme.experts == scheme.dense == scheme.embedding == "keep":
        raise ParameterError(
            "nothing would be rounded: give experts, dense or embedding a format other than keep"
        )


class Parts:
    """The tensors of one matrix, which are rounded together when the first of them is written."""

    def __init__(self, matrix: Matrix, scheme: Scheme, rounder: Rounder, report: Report) -> None:
        self.matrix, self.scheme = matrix, scheme
        self.rounder, self.report = rounder, report
        self.left: dict[str, Tensor] | None = None

    def tensors(self) -> Iterator[TensorToWrite]:
        format = rounded_format(self.scheme, self.matrix)
        assert format is not None
        per_group = self.scheme.group_of(format, self.matrix.shape[1], self.matrix.module)
        for suffix, like in encoded_like(format, self.matrix.shape, per_group).items():
            yield TensorToWrite.of(
                f"{self.matrix.module}.{suffix}", partial(self.take, suffix), like
            )

    def take(self, suffix: str) -> Tensor:
        """Each of them once; what was handed out is not kept."""
        if self.left is None:
            weight, loss = self.rounder.take(self.matrix)
            self.report.add(self.matrix, loss)
            self.left = encode(weight)
        return self.left.pop(suffix)


def kept_tensors(source: FolderSource, scheme: Scheme) -> Iterator[TensorToWrite]:
    """Whatever is not rounded, as the file has it; the embedding possibly as bfloat16. A NaN is
    found on the way."""
    kept = map(source.stored, kept_names(source.config))
    stored = {tensor.name: tensor for tensor in kept}
    for matrix in matrices(source.config):
        found = source.origin(matrix)
        if scheme.format_of(matrix.part) == "bf16":
            yield checked(found, torch.bfloat16)
        elif rounded_format(scheme, matrix) is None:
            stored[found.name] = found
    for tensor in stored.values():
        yield checked(tensor, tensor.dtype)


def checked(stored: StoredTensor, dtype: torch.dtype) -> TensorToWrite:
    def pieces() -> Iterator[memoryview]:
        done = 0
        for piece in stored.pieces():
            values = torch.frombuffer(piece, dtype=stored.dtype)
            check_finite(values, stored.name, shape=stored.shape, first=done)
            done += len(values)
            yield raw_bytes(values.to(dtype))

    return TensorToWrite(stored.name, dtype, stored.shape, pieces)


def vision(source: Checkpoint) -> Iterator[TensorToWrite]:
    return (TensorToWrite.copy(t) for t in source.tensors.values() if is_vision(t.name))


def declare_scheme(rounded: Iterable[Matrix], scheme: Scheme) -> dict[str, Any]:
    """`quantization_config`: a group for each format and size, targets by name within a layer.

    Raises ParameterError where a group does not divide a matrix.
    """
    places: dict[tuple[str, int | None], dict[str, set[int]]] = {}
    for matrix in rounded:
        format = rounded_format(scheme, matrix)
        assert format is not None
        key = format, scheme.group_of(format, matrix.shape[1], matrix.module)
        found = places.setdefault(key, {}).setdefault(matrix.leaf, set())
        if matrix.layer is not None:
            found.add(matrix.layer)
    groups = {
        f"group_{i}": group(*key, targets=targets(leaves, others(places, key)))
        for i, (key, leaves) in enumerate(places.items())
    }
    ignored = IGNORED[1:] if scheme.embedding == "int8" else IGNORED
    return declare(groups, ignored)


Leaves = Mapping[str, set[int]]


def others(places: Mapping[Any, Leaves], key: Any) -> set[str]:
    """The matrices that some layers have in another group."""
    return {leaf for other, leaves in places.items() if other != key for leaf in leaves}


def targets(leaves: Leaves, elsewhere: set[str]) -> list[str]:
    made = []
    for leaf, layers in leaves.items():
        if not layers:
            made.append(rf"re:.*{leaf}$")
            continue
        which = "|".join(map(str, sorted(layers))) if leaf in elsewhere else r"\d+"
        inner = leaf.replace("experts.", r"experts.\d+.").replace(".", r"\.")
        made.append(rf"re:.*\.layers\.({which})\.{inner}$")
    return made
