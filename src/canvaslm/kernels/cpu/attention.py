"""Attention over keys that lie in pieces, in C++: see source/attention.h."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.library import threads
from canvaslm.kernels.ops import QuantisedKV, Segment
from canvaslm.kernels.reference.attention import check_causal

# H heads, G kv heads, N queries, n tokens of a segment, d head

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


class NativeAttention:
    """`AttentionOperations`, K and V read where they lie."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        flag, number, address = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
        tensor, lengths = (address, number, number), (number, number, number, number)
        segments = (address, number)
        library.canvaslm_attend.argtypes = (
            *(flag, flag, flag),
            *(*tensor, *lengths, *segments),
            *(number, number, address),
        )
        library.canvaslm_attend.restype = None

    def attend(
        self,
        q_HNd: Tensor,
        segments: Sequence[Segment],
        *,
        before: int | None = None,
        window: int | None = None,
    ) -> Tensor:
        assert q_HNd.is_cpu
        heads, count, size = q_HNd.shape
        q_head, q_token, step = q_HNd.stride()
        if step != 1:
            raise ParameterError("the numbers of a head of q must lie together: call .contiguous()")
        kv_heads, kind = check(q_HNd, segments, before, window)
        layout = array("q", [number for segment in segments for number in place(segment)])
        out_NHd = torch.empty(count, heads, size)
        if count:
            self.library.canvaslm_attend(
                threads(),
                KINDS[q_HNd.dtype],
                KINDS[kind],
                q_HNd.data_ptr(),
                q_head,
                q_token,
                heads,
                kv_heads,
                count,
                size,
                layout.buffer_info()[0],
                len(segments),
                -1 if before is None else before,
                window or 0,
                out_NHd.data_ptr(),
            )
        return out_NHd


def check(
    q_HNd: Tensor, segments: Sequence[Segment], before: int | None, window: int | None
) -> tuple[int, torch.dtype]:
    """G, and what K and V lie in; refuses what does not fit together."""
    heads, count, size = q_HNd.shape
    kinds, shapes, seen = set(), set(), 0
    for segment in segments:
        keys = segment.keys if isinstance(segment, QuantisedKV) else segment[0]
        kv_heads, length, head = keys.shape
        kinds.add(keys.dtype)
        shapes.add((kv_heads, head))
        seen += length
    if not seen:
        raise ParameterError("attention needs at least one key: give the queries' own K and V")
    if len(shapes) > 1 or head != size or heads % kv_heads:
        raise ParameterError(
            f"q of {heads} heads of {size} does not go with K of (heads, size) {sorted(shapes)}: "
            "sizes must be equal and kv heads must divide heads"
        )
    kind = keys.dtype
    if len(kinds) > 1 or kind not in (q_HNd.dtype, torch.int8) or q_HNd.dtype not in KINDS:
        raise ParameterError(
            f"q of {q_HNd.dtype} does not go with K and V of {kinds}: convert them to one of "
            "float32 and bfloat16, or K and V to int8"
        )
    check_causal(count, seen, before, window)
    return kv_heads, kind


def place(segment: Segment) -> tuple[int, ...]:
    """`struct Segment` of source/attention.h."""
    scales = (0, 0, 0, 0)
    if isinstance(segment, QuantisedKV):
        keys, values = segment.keys, segment.values
        key_scale, value_scale = segment.key_scale, segment.value_scale
        assert key_scale.stride(1) == value_scale.stride(1) == 1 or keys.shape[1] == 1
        scales = (
            key_scale.data_ptr(),
            value_scale.data_ptr(),
            key_scale.stride(0),
            value_scale.stride(0),
        )
    else:
        keys, values = segment
    key_head, key_token, key_step = keys.stride()
    value_head, value_token, value_step = values.stride()
    assert key_step == value_step == 1, "the numbers of a head must lie together"
    assert keys.shape == values.shape
    assert keys.dtype == values.dtype
    return (
        keys.data_ptr(),
        values.data_ptr(),
        *scales[:2],
        keys.shape[1],
        key_head,
        key_token,
        value_head,
        value_token,
        *scales[2:],
    )
