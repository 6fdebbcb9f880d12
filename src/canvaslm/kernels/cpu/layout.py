"""Rows and weights as the C functions take them; the layouts are drawn in source/panel.h."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import torch
from torch import Tensor

from canvaslm.kernels.cpu.library import pointer
from canvaslm.kernels.rows import LANES, Kind, Rows
from canvaslm.kernels.weight import Format, Weight

KINDS: Mapping[Kind, int] = {"float32": 0, "bfloat16": 1, "int8": 2}
FORMATS: Mapping[Format, int] = {"float32": 0, "bfloat16": 1, "int8": 2, "int4": 3, "mxfp4": 4}
DEPTH: Mapping[Kind, int] = {"float32": 1, "bfloat16": 32, "int8": 64}  # padded to a multiple
DTYPES: Mapping[Kind, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}


class Panel(ctypes.Structure):
    """`struct Panel` of source/panel.h."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("tokens", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("data", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
    )


class Matrix(ctypes.Structure):
    """`struct Matrix` of source/panel.h."""

    _fields_ = (
        ("format", ctypes.c_int32),
        ("outputs", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("group", ctypes.c_int64),
        ("data", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
    )


def new_rows(count: int, width: int, kind: Kind) -> Rows:
    """Memory for `count` rows, not yet filled; whoever fills it writes the padding, too."""
    blocks, depth = -(-count // LANES), -(-width // DEPTH[kind]) * DEPTH[kind]
    data = torch.empty(blocks, depth * LANES, dtype=DTYPES[kind])
    if kind != "int8":
        return Rows(kind, count, width, data)
    scale = torch.empty(blocks * LANES)
    sums = torch.empty(blocks, depth // 32, LANES, dtype=torch.int32)
    return Rows(kind, count, width, data, scale, sums)


def panel(rows: Rows) -> Panel:
    return Panel(
        KINDS[rows.kind],
        rows.count,
        rows.width,
        pointer(rows.data),
        pointer(rows.scale),
        pointer(rows.sums),
    )


def matrix(weight: Weight) -> Matrix:
    outputs, width = weight.shape
    return Matrix(
        FORMATS[weight.format],
        outputs,
        width,
        weight.group or 0,
        pointer(weight.data),
        pointer(weight.scale),
    )


def unpacked(rows: Rows) -> Tensor:
    """The rows' numbers again, float32 [T, K]: for tests and for whoever wants to look."""
    step = {"float32": 1, "bfloat16": 2, "int8": 4}[rows.kind]
    count, numbers = rows.data.shape
    blocks = rows.data.view(count, numbers // (LANES * step), LANES, step)
    flat_TK = blocks.permute(0, 2, 1, 3).flatten(0, 1).flatten(1)[: rows.count, : rows.width]
    if rows.scale is None:
        return flat_TK.float()
    return flat_TK.float() * rows.scale[: rows.count, None]
