"""Rows in training, natively: bindings of source/train_rows.cpp, forwards and back."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_bool, c_float, c_int, c_int64, c_void_p

import torch
from torch import Tensor

from canvaslm.kernels.cpu.library import pointer, threads

# T rows, D hidden, I intermediate, R rows of N tokens, H heads, d head, V vocabulary, C chunks

CHUNK = 64
"""Rows whose gradient of a weight is added up at once: kChunk of source/train_rows.cpp."""


class Sum(ctypes.Structure):
    """`struct Sum` of source/train_rows.cpp."""

    _fields_ = (
        ("rows", c_int64),
        ("width", c_int64),
        ("eps", c_float),
        ("scalar", c_float),
        ("sum_weight", c_void_p),
        ("norm_weight", c_void_p),
        ("sum_inverse", c_void_p),
        ("norm_inverse", c_void_p),
    )


class Back(ctypes.Structure):
    """`struct Back` of source/train_rows.cpp."""

    _fields_ = (
        ("sum", c_void_p),
        ("sum_grad", c_void_p),
        ("grad", c_void_p),
        ("sum_parts", c_void_p),
        ("norm_parts", c_void_p),
    )


class Heads(ctypes.Structure):
    """`struct Heads` of source/train_rows.cpp."""

    _fields_ = (
        ("rows", c_int64),
        ("tokens", c_int64),
        ("heads", c_int64),
        ("size", c_int64),
        ("norm", c_void_p),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("period", c_int64),
        ("eps", c_float),
    )


START = (c_int, c_bool)  # threads, bfloat16
SHAPE = (*START, c_int64, c_int64)
ARGUMENTS = {
    "norm": (*SHAPE, c_float, *(c_void_p,) * 4),
    "norm_back": (*SHAPE, *(c_void_p,) * 6),
    "add": (*START, POINTER(Sum), *(c_void_p,) * 4),
    "add_back": (*START, POINTER(Sum), POINTER(Back), *(c_void_p,) * 3),
    "gate": (*SHAPE, *(c_void_p,) * 3),
    "gate_back": (*SHAPE, *(c_void_p,) * 5),
    "turn": (*START, POINTER(Heads), c_void_p, c_void_p),
    "turn_back": (*START, POINTER(Heads), *(c_void_p,) * 5),
    "cap": (*SHAPE, c_float, c_void_p, c_void_p),
    "loss": (*SHAPE, c_float, *(c_void_p,) * 5),
    "loss_back": (*SHAPE, c_float, *(c_void_p,) * 5),
}


class TrainRows:
    """The operations by name, without their gradients tied to them; see training/fused/rows.py."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, types in ARGUMENTS.items():
            function = getattr(library, f"canvaslm_train_{name}")
            function.argtypes, function.restype = types, None

    def norm(
        self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """h / rms(h) * weight in `dtype`, and 1 / rms(h) [T]."""
        check(torch.float32, h_TD, weight_D)
        out_TD, inverse_T = torch.empty_like(h_TD, dtype=dtype), h_TD.new_empty(len(h_TD))
        self.library.canvaslm_train_norm(
            *start(out_TD), *h_TD.shape, eps, *pointers(h_TD, weight_D, out_TD, inverse_T)
        )
        return out_TD, inverse_T

    def norm_back(
        self, h_TD: Tensor, weight_D: Tensor | None, inverse_T: Tensor, out_grad_TD: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients of h and, where there is one, of the weight."""
        grad_TD = torch.empty_like(h_TD)
        parts_CD = None if weight_D is None else parts(h_TD)
        self.library.canvaslm_train_norm_back(
            *start(out_grad_TD),
            *h_TD.shape,
            *pointers(h_TD, weight_D, inverse_T, out_grad_TD, grad_TD, parts_CD),
        )
        return grad_TD, None if parts_CD is None else parts_CD.sum(0)

    def add(
        self,
        h_TD: Tensor,
        part_TD: Tensor,
        weights: tuple[Tensor, Tensor | None],
        *,
        eps: float,
        scalar: float,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """sum = (h + norm(part) * w) * scalar, norm(sum) * w2, and 1 / rms of part and of sum."""
        check(torch.float32, h_TD, *weights)
        assert h_TD.shape == part_TD.shape
        sum_TD, inverse_T, second_T = torch.empty_like(h_TD), *h_TD.new_empty(2, len(h_TD))
        normed_TD = None if weights[1] is None else torch.empty_like(part_TD)
        rows = Sum(*h_TD.shape, eps, scalar, *pointers(*weights, inverse_T, second_T))
        self.library.canvaslm_train_add(
            *start(part_TD), byref(rows), *pointers(h_TD, part_TD, sum_TD, normed_TD)
        )
        return sum_TD, normed_TD, inverse_T, second_T

    def add_back(
        self,
        sum_TD: Tensor,
        part_TD: Tensor,
        weights: tuple[Tensor, Tensor | None],
        inverses: tuple[Tensor, Tensor],
        grads: tuple[Tensor | None, Tensor | None],
        *,
        scalar: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of h, part and both weights, of those of the sum and of its norm."""
        grad_TD, part_grad_TD = torch.empty_like(sum_TD), torch.empty_like(part_TD)
        sum_parts_CD, norm_parts_CD = parts(sum_TD), parts(sum_TD)
        rows = Sum(*sum_TD.shape, 0.0, scalar, *pointers(*weights, *inverses))
        back = Back(*pointers(sum_TD, grads[0], grad_TD, sum_parts_CD, norm_parts_CD))
        self.library.canvaslm_train_add_back(
            *start(part_TD), byref(rows), byref(back), *pointers(part_TD, grads[1], part_grad_TD)
        )
        return grad_TD, part_grad_TD, sum_parts_CD.sum(0), norm_parts_CD.sum(0)

    def gate(self, gate_TI: Tensor, up_TI: Tensor) -> Tensor:
        """gelu(gate) * up."""
        check(gate_TI.dtype, up_TI)
        assert gate_TI.shape == up_TI.shape
        out_TI = torch.empty_like(gate_TI)
        self.library.canvaslm_train_gate(
            *start(out_TI), *gate_TI.shape, *pointers(gate_TI, up_TI, out_TI)
        )
        return out_TI

    def gate_back(
        self, gate_TI: Tensor, up_TI: Tensor, out_grad_TI: Tensor
    ) -> tuple[Tensor, Tensor]:
        grads = torch.empty_like(gate_TI), torch.empty_like(gate_TI)
        self.library.canvaslm_train_gate_back(
            *start(gate_TI), *gate_TI.shape, *pointers(gate_TI, up_TI, out_grad_TI, *grads)
        )
        return grads

    def turn(
        self, raw_RNHd: Tensor, norm_d: Tensor | None, cos: Tensor, sin: Tensor, *, eps: float
    ) -> Tensor:
        """Every head normed and, where there is a norm, weighted and turned by cos, sin [P, d / 2]:
        token i of all R * N as i modulo P."""
        out_RNHd = torch.empty_like(raw_RNHd)
        heads = heads_of(raw_RNHd, norm_d, cos, sin, eps)
        self.library.canvaslm_train_turn(
            *start(raw_RNHd), byref(heads), *pointers(raw_RNHd, out_RNHd)
        )
        return out_RNHd

    def turn_back(
        self,
        raw_RNHd: Tensor,
        norm_d: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        grad_RNHd: Tensor,
        *,
        eps: float,
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients of raw and of the norm; the numbers of a head of `grad` lie together."""
        raw_grad_RNHd = torch.empty_like(raw_RNHd)
        heads = heads_of(raw_RNHd, norm_d, cos, sin, eps)
        parts_Cd = None if norm_d is None else parts(raw_RNHd.flatten(0, 1).flatten(1), len(norm_d))
        strides = (c_int64 * 3)(*grad_RNHd.stride()[:3])
        self.library.canvaslm_train_turn_back(
            *start(raw_RNHd),
            byref(heads),
            pointer(raw_RNHd),
            grad_RNHd.data_ptr(),
            strides,
            *pointers(raw_grad_RNHd, parts_Cd),
        )
        return raw_grad_RNHd, None if parts_Cd is None else parts_Cd.sum(0)

    def cap(self, logits_TV: Tensor, cap: float) -> Tensor:
        """cap * tanh(logits / cap) in float32; a cap of 0: as they are."""
        out_TV = torch.empty_like(logits_TV, dtype=torch.float32)
        self.library.canvaslm_train_cap(
            *start(logits_TV), *logits_TV.shape, cap, *pointers(logits_TV, out_TV)
        )
        return out_TV

    def loss(
        self, logits_TV: Tensor, target_T: Tensor, cap: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy of the capped logits at the target, the hits, and the log of the sums."""
        check(torch.int64, target_T)
        loss_T, sums_T = torch.empty(2, len(target_T))
        hit_T = torch.empty(len(target_T), dtype=torch.bool)
        self.library.canvaslm_train_loss(
            *start(logits_TV), *logits_TV.shape, cap,
            *pointers(logits_TV, target_T, loss_T, hit_T, sums_T),
        )  # fmt: skip
        return loss_T, hit_T, sums_T

    def loss_back(
        self, logits_TV: Tensor, target_T: Tensor, sums_T: Tensor, grad_T: Tensor, cap: float
    ) -> Tensor:
        grad_TV = torch.empty_like(logits_TV)
        self.library.canvaslm_train_loss_back(
            *start(logits_TV), *logits_TV.shape, cap,
            *pointers(logits_TV, target_T, sums_T, grad_T, grad_TV),
        )  # fmt: skip
        return grad_TV


def check(dtype: torch.dtype, *tensors: Tensor | None) -> None:
    """Another kind of number would be read as if it were this one."""
    assert all(x is None or x.dtype == dtype for x in tensors)


def start(x: Tensor) -> tuple[int, bool]:
    assert x.dtype in (torch.float32, torch.bfloat16)
    return threads(), x.dtype == torch.bfloat16


def pointers(*tensors: Tensor | None) -> tuple[int | None, ...]:
    return tuple(map(pointer, tensors))


def parts(rows_TD: Tensor, width: int | None = None) -> Tensor:
    """A row for what each chunk adds to the gradient of a weight."""
    chunks, own = -(-len(rows_TD) // CHUNK), rows_TD.shape[1] if width is None else width
    return torch.empty(chunks, own)


def heads_of(
    raw_RNHd: Tensor, norm_d: Tensor | None, cos: Tensor, sin: Tensor, eps: float
) -> Heads:
    check(torch.float32, norm_d, cos, sin)
    assert cos.shape[1] * 2 == raw_RNHd.shape[3]
    return Heads(*raw_RNHd.shape, pointer(norm_d), *pointers(cos, sin), len(cos), eps)
