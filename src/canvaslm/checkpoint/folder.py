"""A checkpoint folder, opened: its configuration, its tensors by name, its tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from canvaslm.checkpoint.config import read_config
from canvaslm.checkpoint.hub import resolve
from canvaslm.checkpoint.names import is_encode_scalar, is_vision, original_of
from canvaslm.checkpoint.quantised_config import is_quantised
from canvaslm.checkpoint.safetensors import SafetensorsFile, StoredTensor
from canvaslm.errors import CheckpointError, ConfigError, CorruptFileError, TensorError
from canvaslm.model.config import ModelConfig

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LISTED = 8  # names an error message shows before it says "and N more"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model folder in the released layout. No weight has been read yet, only headers.

    `tokenizer`, `tokenizer_config` and `chat_template` are None where the file is absent.
    """

    path: Path
    config: ModelConfig
    raw_config: Mapping[str, Any]
    generation: Mapping[str, Any]  # generation_config.json, or empty
    tensors: Mapping[str, StoredTensor] = field(repr=False)  # by released name, vision included
    metadata: Mapping[str, str]  # of the safetensors headers

    @property
    def tokenizer(self) -> Path | None:
        return self.file("tokenizer.json")

    @property
    def tokenizer_config(self) -> Path | None:
        return self.file("tokenizer_config.json")

    @property
    def chat_template(self) -> Path | None:
        return self.file("chat_template.jinja")

    @property
    def dtype(self) -> torch.dtype:
        """The type of the text weights: that of the embedding, or of a quantised one's scales."""
        name = "model.decoder.embed_tokens.weight"
        if name not in self.tensors:
            raise TensorError(f"{self.path} lacks the tensor {name}")
        return self.tensors.get(f"{name}_scale", self.tensors[name]).dtype

    @property
    def quantised(self) -> bool:
        """Whether config.json declares a layout of few bits: see `QuantisedTensors`."""
        return is_quantised(self.raw_config)

    @property
    def vision(self) -> dict[str, StoredTensor]:
        """The image encoder's tensors, by name: carried along when the text model is saved."""
        return {name: tensor for name, tensor in self.tensors.items() if is_vision(name)}

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    def file(self, name: str) -> Path | None:
        return path if (path := self.path / name).is_file() else None

    def check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Compare the text tensors with the released names and shapes a network needs.

        Raises TensorError naming what is missing, surplus, of the wrong shape, not floating
        point, or a copy of a tied tensor that differs from it.
        """
        if self.quantised:
            raise TensorError(
                f"{self.path} is quantised, and this needs weights in floating point: take the "
                "checkpoint that it was made from"
            )
        surplus = []
        for name, tensor in self.tensors.items():
            original = original_of(name)
            if name in expected:
                self.check_tensor(tensor, expected[name])
            elif original is not None and original in expected:
                self.check_copy(tensor, self.tensors.get(original))
            elif not is_vision(name):
                surplus.append(name)
        missing = [n for n in expected if n not in self.tensors and not is_encode_scalar(n)]
        for names, problem in ((missing, "lacks"), (surplus, "has, but the network does not,")):
            if names:
                raise TensorError(
                    f"{self.path} {problem} the tensors {listed(sorted(names))}; config.json and "
                    "weights belong to different models, or a file is missing"
                )

    def check_tensor(self, tensor: StoredTensor, shape: tuple[int, ...]) -> None:
        if tensor.shape != shape:
            raise TensorError(
                f"{tensor.file.path}: tensor {tensor.name} has shape {list(tensor.shape)}, "
                f"config.json asks for {list(shape)}"
            )
        if tensor.dtype not in FLOATS:
            raise TensorError(
                f"{tensor.file.path}: tensor {tensor.name} is of type {tensor.dtype}, expected "
                "float16, bfloat16, float32 or float64; config.json declares no other layout"
            )

    def check_copy(self, copy: StoredTensor, original: StoredTensor | None) -> None:
        if original is not None and not copy.same_bytes(original):
            raise TensorError(
                f"{copy.file.path}: {copy.name} differs from {original.name}, to which it is "
                "tied; an untied model cannot be run"
            )


def open_checkpoint(where: str | Path) -> Checkpoint:
    """Open a folder or hub id: read its JSON files and the headers of its safetensors files.

    Raises CheckpointError (or ConfigError, CorruptFileError, TensorError) saying what is wrong.
    """
    folder = resolve(where)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} holds no {CONFIG}; it is not a checkpoint folder")
    raw = read_json(folder / CONFIG, ConfigError)
    files = [SafetensorsFile(path) for path in weight_files(folder)]
    tensors: dict[str, StoredTensor] = {}
    metadata: dict[str, str] = {}
    for file in files:
        if twice := tensors.keys() & file.tensors.keys():
            raise TensorError(f"{file.path} repeats the tensors {listed(sorted(twice))}")
        tensors |= file.tensors
        metadata |= file.metadata
    generation = folder / GENERATION
    return Checkpoint(
        path=folder,
        config=read_config(raw),
        raw_config=raw,
        generation=read_json(generation, CorruptFileError) if generation.is_file() else {},
        tensors=tensors,
        metadata=metadata,
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: the single one, or the shards its index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        found = sorted(path.name for path in folder.iterdir() if path.is_file())
        unsafe = [name for name in found if name.endswith(UNSAFE)]
        reason = (
            f"only {listed(unsafe)}, and pickle files can run code, so they are never loaded; "
            "convert them to safetensors"
            if unsafe
            else f"{listed(found)}; expected {WEIGHTS}, or shards with {INDEX}"
        )
        raise CheckpointError(f"{folder} holds no weights that can be read: {reason}")
    placed = read_json(folder / INDEX, CorruptFileError).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise CorruptFileError(f"{folder / INDEX} has no weight_map; fetch it again")
    shards = sorted({str(name) for name in placed.values()})
    for name in shards:
        if Path(name).name != name:
            raise CorruptFileError(f"{folder / INDEX} names {name!r}, outside its own folder")
        if not (folder / name).is_file():
            raise CorruptFileError(f"{folder} lacks {name}, which {INDEX} names; fetch it again")
    return [folder / name for name in shards]


def read_json(path: Path, error: type[CheckpointError]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not JSON: {reason}. Fetch it again") from None
    if not isinstance(value, dict):
        raise error(f"{path} must hold a table of settings, got {type(value).__name__}")
    return value


def listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
