"""Adapter folders as PEFT keeps them: read, and written whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from canvaslm.adapter.adapter import Adapter, Pair, target_of
from canvaslm.adapter.config import TARGETS
from canvaslm.adapter.names import Side, key_of, modules_of, place_of
from canvaslm.adapter.settings import FILE, describe_settings, read_settings
from canvaslm.checkpoint.folder import listed, read_json
from canvaslm.checkpoint.safetensors import SafetensorsFile, encode_header
from canvaslm.checkpoint.save import raw_bytes, replacing, write_file, write_json
from canvaslm.errors import CheckpointError, ConfigError, TensorError

WEIGHTS, PICKLE = "adapter_model.safetensors", "adapter_model.bin"
MARK = "base_mark"  # in the header of WEIGHTS
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
CPU = torch.device("cpu")

Sides = Literal["both", "encoder", "decoder"]


def read_adapter(folder: str | Path, *, sides: Sides = "both") -> Adapter:
    """Read a LoRA that PEFT, or `save_adapter`, wrote.

    PEFT keeps an adapter for the encoder and one for the decoder, whose weights are tied. With
    "both" the two must be the same; "encoder" or "decoder" takes that one for both modes. Raises
    CheckpointError and its kinds, naming the key or tensor that cannot be used.
    """
    path = Path(folder).expanduser()
    if not (path / FILE).is_file():
        raise CheckpointError(f"{path} holds no {FILE}; expected the folder of a PEFT adapter")
    if not (path / WEIGHTS).is_file():
        raise CheckpointError(
            f"{path} holds no {WEIGHTS}"
            + (
                f", only {PICKLE}, and pickle files can run code, so they are never loaded; save "
                "it again with PEFT, which writes safetensors"
                if (path / PICKLE).is_file()
                else "; save the adapter again with PEFT"
            )
        )
    config, base = read_settings(read_json(path / FILE, ConfigError), path / FILE)
    pairs = tied(read_pairs(path / WEIGHTS), path / WEIGHTS, sides)
    kinds = {target_of(name) for name in pairs}
    targets = tuple(target for target in TARGETS if target in kinds)
    mark = SafetensorsFile(path / WEIGHTS).metadata.get(MARK)
    return Adapter(config=replace(config, targets=targets), pairs=pairs, base=base, mark=mark)


def read_pairs(path: Path) -> dict[str, dict[Side, Pair]]:
    """Every pair of the file, by matrix and side."""
    halves: dict[tuple[str, Side], dict[str, Tensor]] = {}
    for key, stored in SafetensorsFile(path).tensors.items():
        place = place_of(key)
        if stored.dtype not in FLOATS or len(stored.shape) != 2:
            raise TensorError(
                f"{path}: tensor {key} is {stored.dtype} {list(stored.shape)}, expected a matrix "
                "of floats"
            )
        tensor = stored.load(dtype=stored.dtype, device=CPU).clone()
        halves.setdefault((place.name, place.side), {})[place.half] = tensor
    pairs: dict[str, dict[Side, Pair]] = {}
    for (name, side), found in halves.items():
        if len(found) < 2:
            raise TensorError(
                f"{path} has lora_{next(iter(found))} of {name} ({side}) and lacks the other half; "
                "save the adapter again"
            )
        pairs.setdefault(name, {})[side] = Pair(found["A"], found["B"])
    if not pairs:
        raise TensorError(f"{path} holds no tensors; save the adapter again")
    return pairs


def tied(pairs: dict[str, dict[Side, Pair]], path: Path, sides: Sides) -> dict[str, Pair]:
    """One pair for each matrix: the encoder's weights are the decoder's."""
    made, apart, absent = {}, [], []
    for name, found in pairs.items():
        own: Side = "decoder"  # self-conditioning is the decoder's alone
        if name.startswith("layers."):
            if sides == "both" and not same(found):
                apart.append(name)
            own = "decoder" if sides == "both" else sides
        if own in found:
            made[name] = found[own]
        else:
            absent.append(name)
    if apart:
        raise TensorError(
            f"{path}: the adapters of encoder and decoder differ, or one is missing, on "
            f"{listed(apart)}. Their weights are tied, and one network runs both: choose one of "
            'them for both with sides="decoder" or sides="encoder"'
        )
    if absent:
        raise TensorError(
            f"{path} has no adapter of the {sides} on {listed(absent)}, only the other side's: "
            "choose that side"
        )
    return made


def same(found: dict[Side, Pair]) -> bool:
    if len(found) < 2:
        return False
    one, other = found["encoder"], found["decoder"]
    return torch.equal(one.a, other.a) and torch.equal(one.b, other.b)


def save_adapter(adapter: Adapter, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a folder that `peft` loads over transformers' DiffusionGemma; returns its path.

    The adapter of a tied weight is written for encoder and decoder. Raises CheckpointError if the
    folder exists and may not be overwritten, StorageError if the disk is full; then nothing
    half-written is left behind.
    """
    target = Path(folder).expanduser().absolute()
    placed = {name: modules_of(name) for name in adapter.pairs}
    tensors: dict[str, Tensor] = {}
    for name, pair in adapter.pairs.items():
        for module in placed[name]:
            tensors |= {key_of(module, "A"): pair.a, key_of(module, "B"): pair.b}
    ordered = dict(sorted(tensors.items()))
    entries = {key: (tensor.dtype, tuple(tensor.shape)) for key, tensor in ordered.items()}
    mark = {} if adapter.mark is None else {MARK: adapter.mark}
    content = encode_header(entries, {"format": "pt", **mark})
    content += b"".join(bytes(raw_bytes(tensor)) for tensor in ordered.values())
    modules = [module for found in placed.values() for module in found]
    with replacing(target, overwrite=overwrite, size=len(content), mark=FILE) as partial:
        write_file(partial, WEIGHTS, content)
        write_json(partial / FILE, describe_settings(adapter, modules))
    return target
