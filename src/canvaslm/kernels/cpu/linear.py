"""Rows times a weight, natively: source/linear.cpp bound by ctypes."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from canvaslm.kernels.cpu.layout import Matrix, Panel, matrix, panel
from canvaslm.kernels.cpu.library import pointer, threads
from canvaslm.kernels.reference.linear import check
from canvaslm.kernels.rows import Rows
from canvaslm.kernels.weight import Weight


class NativeLinear:
    """`LinearOperations` of one compiled library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._linear = library.canvaslm_linear
        self._linear.argtypes = (
            ctypes.c_int,
            ctypes.POINTER(Panel),
            ctypes.POINTER(Matrix),
            ctypes.c_void_p,
        )
        self._linear.restype = None

    def linear(self, x: Rows, weight: Weight) -> Tensor:
        check(x, weight)
        y_TN = torch.empty(x.count, weight.shape[0])
        self._linear(threads(), panel(x), matrix(weight), pointer(y_TN))
        return y_TN
