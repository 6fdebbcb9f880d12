"""A mixture of experts in C++: source/experts.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.layout import Matrix, Panel, matrix, panel
from canvaslm.kernels.cpu.library import pointer, threads
from canvaslm.kernels.ops import Experts
from canvaslm.kernels.reference.linear import PARTNERS
from canvaslm.kernels.rows import Rows
from canvaslm.kernels.weight import Format, Weight

# T tokens, D hidden, E experts, X experts per token, I intermediate


@dataclass(frozen=True, eq=False)
class Table:
    """`struct Matrix` of every expert, for each of the three products."""

    gate: ctypes.Array[Matrix]
    up: ctypes.Array[Matrix]
    down: ctypes.Array[Matrix]
    formats: frozenset[Format]
    size: tuple[int, int]  # I, D


class NativeExperts:
    """`ExpertOperations`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        function = library.canvaslm_experts
        function.restype = ctypes.c_int64
        function.argtypes = (
            ctypes.c_int,
            ctypes.POINTER(Panel),
            ctypes.c_int64,
            *(ctypes.POINTER(Matrix),) * 3,
            ctypes.c_int64,
            *(ctypes.c_void_p,) * 3,
        )

    def gather(
        self, gate: Sequence[Weight], up: Sequence[Weight], down: Sequence[Weight]
    ) -> Experts:
        if not len(gate) == len(up) == len(down) > 0:
            raise ParameterError(
                f"experts need as many gates as ups and downs, got {len(gate)}, {len(up)} and "
                f"{len(down)}"
            )
        inner, hidden = gate[0].shape
        require("gate", gate, (inner, hidden))
        require("up", up, (inner, hidden))
        require("down", down, (hidden, inner))
        formats = frozenset(weight.format for weight in (*gate, *up, *down))
        table = Table(array(gate), array(up), array(down), formats, (inner, hidden))
        return Experts(gate, up, down, table)

    def experts(self, x: Rows, experts: Experts, weights_TX: Tensor, index_TX: Tensor) -> Tensor:
        table: Table = experts.handle
        check(x, table, weights_TX, index_TX)
        out_TD = torch.empty(x.count, table.size[1])
        beyond = self.library.canvaslm_experts(
            threads(),
            panel(x),
            len(experts.gate),
            table.gate,
            table.up,
            table.down,
            index_TX.shape[1],
            pointer(weights_TX),
            pointer(index_TX),
            pointer(out_TD),
        )
        if beyond:
            raise ParameterError(
                f"the index names {beyond} experts that are not there: give numbers from 0 to "
                f"{len(experts.gate) - 1}"
            )
        return out_TD


def check(x: Rows, table: Table, weights_TX: Tensor, index_TX: Tensor) -> None:
    if x.width != table.size[1]:
        raise ParameterError(f"these experts take rows of {table.size[1]}, got {x.width}")
    if not table.formats <= frozenset(PARTNERS[x.kind]):
        raise ParameterError(
            f"{x.kind} rows go with {', '.join(PARTNERS[x.kind])} weights, these experts are "
            f"{', '.join(sorted(table.formats))}: round the rows to another kind"
        )
    shape = (x.count, index_TX.shape[-1])
    if index_TX.shape != shape or weights_TX.shape != shape:
        raise ParameterError(
            f"weights and index must be [{x.count}, X], got {list(weights_TX.shape)} and "
            f"{list(index_TX.shape)}"
        )
    if index_TX.dtype != torch.int32 or weights_TX.dtype != torch.float32:
        raise ParameterError(
            f"weights must be float32 and the index int32, got {weights_TX.dtype} and "
            f"{index_TX.dtype}"
        )


def require(name: str, weights: Iterable[Weight], shape: tuple[int, int]) -> None:
    for index, weight in enumerate(weights):
        if weight.shape != shape:
            raise ParameterError(
                f"{name} of expert {index} is {list(weight.shape)}, it must be {list(shape)} to "
                "go with the others"
            )


def array(weights: Sequence[Weight]) -> ctypes.Array[Matrix]:
    return (Matrix * len(weights))(*map(matrix, weights))
