"""Attention of training with its gradient, natively: bindings of source/train_attention.cpp."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int, c_int32, c_int64, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.kernels.cpu.library import threads

# R rows, L queries of each, B documents, M longest prefix, H heads, G kv heads, d head

KINDS = {torch.float32: 0, torch.bfloat16: 1}


class Place(ctypes.Structure):
    """`struct Tensor` of source/train_attention.h."""

    _fields_ = (
        ("data", c_void_p),
        ("row", c_int64),
        ("head", c_int64),
        ("token", c_int64),
    )


class Attention(ctypes.Structure):
    """`struct Attention` of source/train_attention.h."""

    _fields_ = (
        ("kind", c_int32),
        *((name, c_int64) for name in ("rows", "heads", "kv_heads", "length", "size")),
        *((name, c_int64) for name in ("documents", "longest", "window", "causal")),
        *((name, c_void_p) for name in ("row", "seen")),
        *((name, Place) for name in ("q", "k", "v", "prefix_k", "prefix_v", "out")),
        ("sums", c_void_p),
        *((name, Place) for name in ("out_grad", "q_grad", "k_grad", "v_grad")),
        *((name, Place) for name in ("prefix_k_grad", "prefix_v_grad")),
    )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Keys and values before those of each row: the first `seen` tokens of document `row`."""

    keys_BGMd: Tensor
    values_BGMd: Tensor
    row_R: Tensor
    seen_R: Tensor


class TrainAttention:
    """Attention and its gradient; what goes in is of one kind, its last stride is 1."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name in ("canvaslm_train_attention", "canvaslm_train_attention_back"):
            function = getattr(library, name)
            function.argtypes, function.restype = (c_int, POINTER(Attention)), None

    def attend(
        self, q_RHLd: Tensor, k_RGLd: Tensor, v_RGLd: Tensor, seen: Seen | None, window: int | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs [R, L, H, d], and the logs of the sums of e^score [R, H, L]."""
        rows, heads, length, size = q_RHLd.shape
        out_RLHd = q_RHLd.new_empty(rows, length, heads, size)
        sums_RHL = torch.empty(rows, heads, length)
        if sums_RHL.numel():
            asked = asked_for(q_RHLd, k_RGLd, v_RGLd, seen, window, out_RLHd, sums_RHL)
            self.library.canvaslm_train_attention(threads(), byref(asked))
        return out_RLHd, sums_RHL

    def attend_back(
        self,
        q_RHLd: Tensor,
        k_RGLd: Tensor,
        v_RGLd: Tensor,
        seen: Seen | None,
        window: int | None,
        *,
        out_RLHd: Tensor,
        sums_RHL: Tensor,
        grad_RLHd: Tensor,
    ) -> list[Tensor]:
        """The gradients of q, k and v, and of the keys and values of `seen`, laid out as these."""
        asked = asked_for(q_RHLd, k_RGLd, v_RGLd, seen, window, out_RLHd, sums_RHL)
        asked.out_grad = place(grad_RLHd.transpose(1, 2))
        names = ["q_grad", "k_grad", "v_grad"]
        inputs = [q_RHLd, k_RGLd, v_RGLd]
        if seen is not None:
            names += ["prefix_k_grad", "prefix_v_grad"]
            inputs += [seen.keys_BGMd, seen.values_BGMd]
        grads = [torch.empty_like(x) for x in inputs]
        for name, grad in zip(names, grads, strict=True):
            setattr(asked, name, place(grad))
        if sums_RHL.numel():
            self.library.canvaslm_train_attention_back(threads(), byref(asked))
            return grads
        return [grad.zero_() for grad in grads]


def asked_for(
    q_RHLd: Tensor,
    k_RGLd: Tensor,
    v_RGLd: Tensor,
    seen: Seen | None,
    window: int | None,
    out_RLHd: Tensor,
    sums_RHL: Tensor,
) -> Attention:
    rows, heads, length, size = q_RHLd.shape
    asked = Attention(
        KINDS[q_RHLd.dtype], rows, heads, k_RGLd.shape[1], length, size, rows, 0, window or 0, 1
    )
    asked.q, asked.k, asked.v = place(q_RHLd), place(k_RGLd), place(v_RGLd)
    asked.out, asked.sums = place(out_RLHd.transpose(1, 2)), sums_RHL.data_ptr()
    if seen is not None:
        asked.documents, _, asked.longest, _ = seen.keys_BGMd.shape
        asked.causal = 0
        asked.row, asked.seen = seen.row_R.data_ptr(), seen.seen_R.data_ptr()
        asked.prefix_k, asked.prefix_v = place(seen.keys_BGMd), place(seen.values_BGMd)
    return asked


def place(x_RHLd: Tensor) -> Place:
    assert x_RHLd.stride(3) == 1 or not x_RHLd.numel()
    return Place(x_RHLd.data_ptr(), *x_RHLd.stride()[:3])
