"""The vocabulary head in C++: source/head.cpp and head_soften.cpp bound by ctypes."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from ctypes import POINTER, byref
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.layout import Matrix, Panel, matrix, panel
from canvaslm.kernels.cpu.library import pointer, threads
from canvaslm.kernels.ops import Belief
from canvaslm.kernels.reference.head import check_kept, check_possible, check_question
from canvaslm.kernels.reference.linear import check
from canvaslm.kernels.rows import LANES, Rows
from canvaslm.kernels.weight import Weight

# T tokens, D hidden, V vocabulary, R rows asked for, K tiles of 64 tokens of the vocabulary

TILE = 64
FORMATS = ("float32", "bfloat16", "int8")
SPARES = 2
"""Pieces of memory for weights that wait for the next belief: a step keeps its last one's."""


class Shape(ctypes.Structure):
    """`struct Shape` of source/head_tile.h."""

    _fields_ = (
        ("cap", ctypes.c_float),
        ("temperature", ctypes.c_float),
        ("bias_V", ctypes.c_void_p),
    )


class Answer(ctypes.Structure):
    """`struct Answer` of source/head_merge.h."""

    _fields_ = (
        ("log_z", ctypes.c_void_p),
        ("entropy", ctypes.c_void_p),
        ("best", ctypes.c_void_p),
        ("drawn", ctypes.c_void_p),
        ("uniform", ctypes.c_void_p),
        ("within", ctypes.c_void_p),
    )


class Kept(ctypes.Structure):
    """`struct Kept` of source/head_kept.h."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("share", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("tokens", ctypes.c_int64),
        ("wide", ctypes.c_int32),
    )


@dataclass(frozen=True, eq=False)
class State:
    """What a belief keeps; `kept` points into the tensors."""

    table: Weight
    kept: Kept
    tensors: tuple[Tensor, ...]


class NativeHead:
    """`HeadOperations` of one compiled library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._spare: deque[Tensor] = deque(maxlen=SPARES)
        ask, count, address = (POINTER(Panel), POINTER(Matrix)), ctypes.c_int64, ctypes.c_void_p
        self._believe = library.canvaslm_believe
        self._believe.argtypes = (
            ctypes.c_int, *ask, POINTER(Shape), POINTER(Answer), POINTER(Kept)
        )  # fmt: skip
        self._soften = library.canvaslm_soften
        self._soften.argtypes = (
            ctypes.c_int, POINTER(Matrix), POINTER(Kept), address, count, address
        )  # fmt: skip
        self._logits = library.canvaslm_logits
        self._logits.argtypes = (ctypes.c_int, *ask, ctypes.c_float, address)
        for function in (self._believe, self._soften, self._logits):
            function.restype = None

    def believe(
        self,
        x: Rows,
        table: Weight,
        *,
        softcap: float | None,
        temperature: float,
        uniform_T: Tensor | None = None,
        bias_V: Tensor | None = None,
        soft: bool = True,
    ) -> Belief:
        check_question(x, table, temperature=temperature, uniform_T=uniform_T, bias_V=bias_V)
        check_table(table)
        log_z_T, entropy_T = torch.empty(2, x.count).unbind()
        best_T = torch.empty(x.count, dtype=torch.int64)
        drawn_T = within_T = None
        if uniform_T is not None:
            uniform_T = uniform_T.contiguous()
            drawn_T, within_T = torch.empty_like(best_T), torch.empty_like(uniform_T)
        bias_V = None if bias_V is None else bias_V.contiguous()
        state = self._state(x, table) if soft else None
        self._believe(
            threads(),
            panel(x),
            matrix(table),
            Shape(softcap or 0.0, temperature, pointer(bias_V)),
            Answer(*map(pointer, (log_z_T, entropy_T, best_T, drawn_T, uniform_T, within_T))),
            None if state is None else byref(state.kept),
        )
        if bias_V is not None:
            check_possible(log_z_T)
        return Belief(log_z_T, entropy_T, best_T, drawn_T, state)

    def soften(self, belief: Belief, rows_R: Tensor | None = None) -> Tensor:
        check_kept(belief)
        state = belief.state
        assert isinstance(state, State)
        known = state.kept.tokens
        if rows_R is not None:
            rows_R = rows_R.to(torch.int64).contiguous()
            if len(rows_R) and not 0 <= int(rows_R.min()) <= int(rows_R.max()) < known:
                raise ParameterError(f"rows must be from 0 to {known - 1}, got {rows_R.tolist()}")
        count = known if rows_R is None else len(rows_R)
        soft_RD = torch.empty(count, state.table.shape[1])
        self._soften(
            threads(),
            matrix(state.table),
            byref(state.kept),
            pointer(rows_R),
            count,
            pointer(soft_RD),
        )
        return soft_RD

    def logits(self, x: Rows, table: Weight, *, softcap: float | None) -> Tensor:
        check(x, table)
        out_TV = torch.empty(x.count, table.shape[0])
        self._logits(threads(), panel(x), matrix(table), softcap or 0.0, pointer(out_TV))
        return out_TV

    def _state(self, x: Rows, table: Weight) -> State:
        tiles, padded = -(-table.shape[0] // TILE), -(-x.count // LANES) * LANES
        wide = x.kind == "float32"
        weights = self._memory(tiles * padded * TILE * (4 if wide else 2))
        share_TK = torch.empty(x.count, tiles)
        shift_TK = torch.empty(x.count, tiles, dtype=torch.int16)
        norm_T = torch.empty(x.count)
        tensors = (weights, share_TK, shift_TK, norm_T)
        state = State(table, Kept(*map(pointer, tensors), x.count, wide), tensors)
        weakref.finalize(state, self._give_back, weights).atexit = False
        return state

    def _memory(self, size: int) -> Tensor:
        """Memory of this size, from an earlier belief if one has left it: new pages are dear."""
        for _ in range(SPARES):
            try:
                spare = self._spare.popleft()  # beliefs end at any time, in any thread
            except IndexError:
                break
            if size <= spare.nbytes <= 2 * size:
                return spare
            self._spare.append(spare)
        return torch.empty(size, dtype=torch.uint8)

    def _give_back(self, memory: Tensor) -> None:
        self._spare.append(memory)


def check_table(table: Weight) -> None:
    if table.format not in FORMATS:
        raise ParameterError(
            f"a table may be {', '.join(FORMATS)}, not {table.format}: dequantise it first"
        )
