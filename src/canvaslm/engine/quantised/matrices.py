"""Every matrix of a network one by one, experts too, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import (
    expert_module,
    is_encode_scalar,
    module_name,
    released_name,
)
from canvaslm.checkpoint.quantised import QuantisedTensors
from canvaslm.checkpoint.quantised_layouts import Loose
from canvaslm.checkpoint.safetensors import StoredTensor
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Transformer
from canvaslm.quant import rounding
from canvaslm.quant.scheme import Part, part_of

# N outputs, K inputs, E experts, I expert intermediate

CPU = torch.device("cpu")
FUSED = {"gate": ("experts.gate_up", 0), "up": ("experts.gate_up", 1), "down": ("experts.down", 0)}
"""Where an expert's matrix lies in the stacked tensors: the tensor, and which of its two halves."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One matrix [N, K]. `name` is the network's, `layers.3.experts.gate` for each expert's."""

    name: str
    module: str  # the released name, as unfused folders have it, without a suffix
    shape: tuple[int, int]
    part: Part
    layer: int | None = None
    expert: int | None = None

    @property
    def leaf(self) -> str:
        """What it is called within its layer: `self_attn.q_proj`, `experts.gate_proj`."""
        return ".".join(w for w in self.module.split(".")[-3:] if not w.isdigit())


def matrices(config: ModelConfig) -> Iterator[Matrix]:
    """All of them, also those that no scheme touches; the router's is none, as it is never rounded.

    The order is that of the network.
    """
    for name, shape in shapes(config).items():
        layer = int(name.split(".")[1]) if name.startswith("layers.") else None
        if ".experts." in name:
            assert layer is not None
            yield from expert_matrices(name, shape, layer)
        elif len(shape) == 2 and "router" not in name:
            rows, width = shape
            yield Matrix(
                name=name,
                module=module_name(name),
                shape=(rows, width),
                part=part_of(name),
                layer=layer,
            )


def expert_matrices(name: str, shape: tuple[int, ...], layer: int) -> Iterator[Matrix]:
    fused = name.split(".", 2)[2]
    halves = [key for key, (place, _) in FUSED.items() if place == fused]
    count, rows, width = shape
    for expert in range(count):
        for matrix in halves:
            yield Matrix(
                name=f"layers.{layer}.experts.{matrix}",
                module=expert_module(layer, expert, matrix),
                shape=(rows // len(halves), width),
                part="experts",
                layer=layer,
                expert=expert,
            )


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter and buffer of the network, with its shape."""
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in Transformer(config).state_dict().items()}


def kept_names(config: ModelConfig) -> list[str]:
    """What is no matrix above: norms, scalars, router."""
    return [n for n, s in shapes(config).items() if len(s) == 1 or "router" in n]


class Source(Protocol):
    """What gives a network's numbers by name."""

    @property
    def config(self) -> ModelConfig: ...

    def matrix(self, matrix: Matrix) -> Weight | Loose:
        """A weight as it is kept, or numbers that have to be rounded again."""
        ...

    def floats(self, matrix: Matrix) -> rounding.Matrix:
        """The rows of a float matrix."""
        ...

    def kept(self, name: str) -> Tensor:
        """Anything else, in float32."""
        ...


class FolderSource:
    """A checkpoint folder, quantised or not; what is kept as it is are views of its files."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = QuantisedTensors(checkpoint)
        self.shapes = shapes(checkpoint.config)

    def matrix(self, matrix: Matrix) -> Weight | Loose:
        found = self.fused(matrix)
        return self.tensors.matrix(matrix.module, matrix.shape) if found is None else found

    @property
    def config(self) -> ModelConfig:
        return self.tensors.checkpoint.config

    def fused(self, matrix: Matrix) -> Weight | None:
        """An expert's matrix out of the stacked tensors, where a folder has those."""
        if not self.is_fused(matrix):
            return None
        stored, first = self.origin(matrix), self.first_row(matrix)
        mapped = stored.load(dtype=stored.dtype, device=CPU).flatten(0, 1)
        return as_weight(mapped[first : first + matrix.shape[0]])

    def kept(self, name: str) -> Tensor:
        return self.stored(name).load(dtype=torch.float32, device=CPU)

    def stored(self, name: str) -> StoredTensor:
        """The tensor of a parameter; an encoder scalar that a file leaves out is the decoder's."""
        released, there = released_name(name), self.tensors.checkpoint.tensors
        if is_encode_scalar(released) and released not in there:
            released = released_name(name.replace("encode_scalar", "denoise_scalar"))
        return self.tensors.stored(released, self.shapes[name])

    def floats(self, matrix: Matrix) -> StoredRows:
        """Rows of a float matrix, read when asked for and into memory of their own."""
        first = self.first_row(matrix) if self.is_fused(matrix) else 0
        return StoredRows(self.origin(matrix), first, matrix.shape)

    def origin(self, matrix: Matrix) -> StoredTensor:
        """The float tensor that a matrix is, or is part of."""
        if not self.is_fused(matrix):
            return self.tensors.stored(f"{matrix.module}.weight", matrix.shape)
        name = fused_name(matrix)
        return self.tensors.stored(released_name(name), self.shapes[name])

    def is_fused(self, matrix: Matrix) -> bool:
        if matrix.expert is None:
            return False
        return released_name(fused_name(matrix)) in self.tensors.checkpoint.tensors

    def first_row(self, matrix: Matrix) -> int:
        """Where an expert's matrix begins in the stacked tensor, its experts one below another."""
        assert matrix.expert is not None
        _, half = FUSED[matrix.name.rpartition(".")[2]]
        return matrix.expert * self.shapes[fused_name(matrix)][1] + half * matrix.shape[0]


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A network in memory."""

    model: Transformer

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def matrix(self, matrix: Matrix) -> Weight:
        state = self.model.state_dict()
        if matrix.expert is None:
            return as_weight(state[matrix.name].detach().cpu())
        _, half = FUSED[matrix.name.rpartition(".")[2]]
        fused, rows = state[fused_name(matrix)][matrix.expert], matrix.shape[0]
        return as_weight(fused[half * rows : (half + 1) * rows].detach().cpu())

    def floats(self, matrix: Matrix) -> Tensor:
        return self.matrix(matrix).data

    def kept(self, name: str) -> Tensor:
        found: Tensor = self.model.state_dict()[name]
        return found.detach().float().cpu()


@dataclass(frozen=True)
class StoredRows:
    """Some consecutive rows of a stored tensor, whatever its dimensions are."""

    stored: StoredTensor
    first: int
    shape: tuple[int, int]

    def __getitem__(self, rows: slice) -> Tensor:
        first, last, _ = rows.indices(self.shape[0])
        return self.stored.rows(self.first + first, last - first)


def fused_name(matrix: Matrix) -> str:
    """The network's stacked parameter that holds an expert's matrix."""
    return f"layers.{matrix.layer}.{FUSED[matrix.name.rpartition('.')[2]][0]}"


def as_weight(w_NK: Tensor) -> Weight:
    """bfloat16 as it is, any other float as float32."""
    if w_NK.dtype == torch.bfloat16:
        return Weight("bfloat16", w_NK.contiguous())
    return Weight("float32", w_NK.float().contiguous())
