"""safetensors files: the header checked first, tensors then mapped in place or read in pieces."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canvaslm.errors import CorruptFileError, OutOfMemoryError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000
ALIGNMENT = 64  # bytes: a cache line, and the widest register
PIECE = 8 << 20  # bytes read at once: what a conversion needs beside its result
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: its type, shape and place. Nothing is read until it is asked for."""

    file: SafetensorsFile = field(repr=False, compare=False)
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file
    size: int  # bytes

    def load(self, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The tensor in another type or place; as it is and on the CPU, a view of the mapped file.

        A mapped tensor costs no memory of its own: its pages come from the file when first used
        and are private to this process when written. Raises CorruptFileError if the file shrank,
        OutOfMemoryError if the device has no room for the tensor.
        """
        aligned = self.start % self.dtype.itemsize == 0
        if dtype == self.dtype and device.type == "cpu" and aligned:
            raw = self.file.mapped[self.start : self.start + self.size]
            return raw.view(self.dtype).view(self.shape)
        out = self.room(dtype, device)
        flat, done = out.view(-1), 0
        for piece in self.pieces():
            values = torch.frombuffer(piece, dtype=self.dtype)
            flat[done : done + len(values)].copy_(values)
            done += len(values)
        return out

    def room(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory for the tensor, its contents arbitrary. Raises OutOfMemoryError."""
        try:
            return torch.empty(self.shape, dtype=dtype, device=device)
        except RuntimeError as error:
            # A CPU without memory has no error of its own in torch.
            if device.type != "cpu" and not isinstance(error, torch.OutOfMemoryError):
                raise
            size = math.prod(self.shape) * dtype.itemsize
            raise OutOfMemoryError(
                f"{self.file.path}: tensor {self.name} takes {size / 1e9:.2f} GB as {dtype}, and "
                f"{device} has no room for it; choose a smaller dtype or another device, or free "
                "some memory"
            ) from error

    def pieces(self) -> Iterator[bytearray]:
        """The raw bytes in order, at most `PIECE` at a time, whole elements only."""
        with self.file.path.open("rb", buffering=0) as stream:
            stream.seek(self.start)
            left = self.size
            while left:
                piece = bytearray(stream.read(min(left, PIECE)))
                if len(piece) % self.dtype.itemsize or not piece:
                    raise self.ended()
                left -= len(piece)
                yield piece

    def rows(self, first: int, count: int) -> Tensor:
        """Rows of the last dimension, counted through all others, in memory of their own."""
        width = self.shape[-1]
        raw = bytearray(count * width * self.dtype.itemsize)
        with self.file.path.open("rb") as stream:
            stream.seek(self.start + first * width * self.dtype.itemsize)
            if stream.readinto(raw) != len(raw):
                raise self.ended()
        return torch.frombuffer(raw, dtype=self.dtype).view(count, width)

    def ended(self) -> CorruptFileError:
        return CorruptFileError(
            f"{self.file.path} ended inside tensor {self.name}; it changed after it was opened. "
            "Fetch it again"
        )

    def same_bytes(self, other: StoredTensor) -> bool:
        """Whether both hold the same values in the same type and shape, bit for bit."""
        if (self.dtype, self.shape) != (other.dtype, other.shape):
            return False
        return all(a == b for a, b in zip(self.pieces(), other.pieces(), strict=True))


class SafetensorsFile:
    """An open file: `tensors` by name and the `metadata` of its header, both checked.

    Raises CorruptFileError for a file that is truncated, is not safetensors, or whose tensors
    overlap, leave gaps or reach past its end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = path.stat().st_size
        header, self.begin = self.read_header()
        self.metadata = self.read_metadata(header.pop("__metadata__", {}))
        self.tensors = {name: self.read_entry(name, entry) for name, entry in header.items()}
        self.check_places()

    @cached_property
    def mapped(self) -> Tensor:
        """The whole file as bytes, mapped privately: uint8 [length]."""
        return torch.from_file(str(self.path), shared=False, size=self.length, dtype=torch.uint8)

    def read_header(self) -> tuple[dict[str, Any], int]:
        """The header, and where the data begins."""
        with self.path.open("rb") as stream:
            first = stream.read(len(LFS_POINTER))
            if first == LFS_POINTER:
                raise CorruptFileError(
                    f"{self.path} is a Git LFS pointer, not the weights; run `git lfs pull`"
                )
            size = struct.unpack("<Q", first[:8])[0] if len(first) >= 8 else 0
            if not 2 <= size <= min(LONGEST_HEADER, self.length - 8):
                raise CorruptFileError(
                    f"{self.path} is truncated or not a safetensors file: {self.length} bytes "
                    f"long, header said to take {size}. Fetch it again"
                )
            stream.seek(8)
            try:
                header = json.loads(stream.read(size))
            except (ValueError, RecursionError) as error:
                raise self.corrupt(f"its header is not JSON ({error})") from None
        if not isinstance(header, dict):
            raise self.corrupt("its header is not a table of tensors")
        return header, 8 + size

    def read_metadata(self, metadata: Any) -> dict[str, str]:
        if not isinstance(metadata, dict):
            raise self.corrupt(f"the metadata of its header is malformed: {metadata!r}")
        return {str(key): str(value) for key, value in metadata.items()}

    def read_entry(self, name: str, entry: Any) -> StoredTensor:
        match entry:
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(a), int(b)]}:
                pass
            case _:
                raise self.corrupt(f"the entry of tensor {name} is malformed: {entry!r}")
        if dtype not in DTYPES:
            raise self.corrupt(f"tensor {name} has the unknown type {dtype!r}")
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise self.corrupt(f"tensor {name} has the shape {shape!r}")
        expected = math.prod(shape) * DTYPES[dtype].itemsize
        if a < 0 or b - a != expected:
            raise self.corrupt(f"tensor {name} takes {b - a} bytes, {dtype} {shape} {expected}")
        return StoredTensor(self, name, DTYPES[dtype], tuple(shape), self.begin + a, b - a)

    def check_places(self) -> None:
        """The tensors must fill the file exactly, one after the other."""
        end = self.begin
        for tensor in sorted(self.tensors.values(), key=lambda t: (t.start, t.size)):
            if tensor.start != end:
                raise self.corrupt(f"tensor {tensor.name} overlaps another or leaves a gap")
            end += tensor.size
            if end > self.length:
                raise self.corrupt(
                    f"it is {self.length} bytes long, but tensor {tensor.name} ends at {end}: "
                    "it is truncated"
                )
        if end != self.length:
            raise self.corrupt(f"{self.length - end} bytes follow its last tensor")

    def corrupt(self, reason: str) -> CorruptFileError:
        return CorruptFileError(f"{self.path} cannot be used: {reason}. Fetch it again")


def encode_header(
    entries: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], metadata: Mapping[str, str]
) -> bytes:
    """Length and header of a file with these tensors in this order; its data begin aligned."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, (dtype, shape) in entries.items():
        size = math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": DTYPE_NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
