"""Attention of training on a CPU as one operation with its own gradient.

What `training.attend` does, without its tables of scores, masks and copies: a prefix is read where
it lies, and its gradient is added up over the canvases that see it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.train_attention import KINDS, Seen, TrainAttention

# R rows, L queries of each, B documents, M longest prefix, H heads, G kv heads, d head


def attend(
    q_RHLd: Tensor,
    k_RGLd: Tensor,
    v_RGLd: Tensor,
    prefix: Seen | None = None,
    *,
    window: int | None = None,
    kernels: TrainAttention,
) -> Tensor:
    """softmax(q k) v, the heads side by side: [R, L, H * d], in q's kind of number.

    Without a prefix attention is causal, and `window` tokens are seen. With one, all keys of the
    own row are seen, and before them the visible tokens of the row's document, the last
    window - 1 of them. float32 or bfloat16, added up in float32. Raises ParameterError for what
    does not fit together.
    """
    check(q_RHLd, k_RGLd, v_RGLd, window)
    parts: list[Tensor | None] = [None] * 4
    if prefix is not None:
        check_prefix(k_RGLd, prefix)
        parts = [prefix.keys_BGMd, prefix.values_BGMd, prefix.row_R, prefix.seen_R]
    out: Tensor = Attend.apply(kernels, window, q_RHLd, k_RGLd, v_RGLd, *parts)  # type: ignore[no-untyped-call]
    return out


class Attend(torch.autograd.Function):
    """Keeps what goes in, the outputs and the logs of the sums."""

    @staticmethod
    def forward(
        ctx: Any, kernels: TrainAttention, window: int | None, *tensors: Tensor | None
    ) -> Tensor:
        given = [None if x is None else together(x) for x in tensors]
        q, k, v = (x for x in given[:3] if x is not None)
        out_RLHd, sums_RHL = kernels.attend(q, k, v, seen_of(given), window)
        ctx.kernels, ctx.window = kernels, window
        ctx.save_for_backward(*given, out_RLHd, sums_RHL)
        return out_RLHd.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RLJ: Tensor) -> tuple[Tensor | None, ...]:
        *given, out_RLHd, sums_RHL = ctx.saved_tensors
        grads = ctx.kernels.attend_back(
            *given[:3],
            seen_of(given),
            ctx.window,
            out_RLHd=out_RLHd,
            sums_RHL=sums_RHL,
            grad_RLHd=grad_RLJ.contiguous().view_as(out_RLHd),
        )
        return None, None, *grads, *[None] * (7 - len(grads))


def together(x: Tensor) -> Tensor:
    """With its last numbers side by side, as the kernels want them."""
    return x if x.stride(-1) == 1 else x.contiguous()


def seen_of(tensors: list[Tensor | None]) -> Seen | None:
    *_, keys, values, row, seen = tensors
    if keys is None or values is None or row is None or seen is None:
        return None
    return Seen(keys_BGMd=keys, values_BGMd=values, row_R=row, seen_R=seen)


def check(q_RHLd: Tensor, k_RGLd: Tensor, v_RGLd: Tensor, window: int | None) -> None:
    rows, heads, length, size = q_RHLd.shape
    kv_heads = k_RGLd.shape[1]
    if k_RGLd.shape != v_RGLd.shape or k_RGLd.shape != (rows, kv_heads, length, size):
        raise ParameterError(
            f"q {list(q_RHLd.shape)} does not go with k {list(k_RGLd.shape)} and v "
            f"{list(v_RGLd.shape)}: all but the heads must be equal"
        )
    if heads % kv_heads or size % 2:
        raise ParameterError(
            f"{heads} heads of {size} over {kv_heads} kv heads: kv heads must divide heads, and "
            "the size must be even"
        )
    kinds = {x.dtype for x in (q_RHLd, k_RGLd, v_RGLd)}
    if len(kinds) > 1 or q_RHLd.dtype not in KINDS or not q_RHLd.is_cpu:
        raise ParameterError(
            f"q, k and v must be alike, float32 or bfloat16 and on the CPU, got {kinds} on "
            f"{q_RHLd.device}"
        )
    if window is not None and window < 1:
        raise ParameterError(f"window must be at least 1, got {window}")


def check_prefix(k_RGLd: Tensor, prefix: Seen) -> None:
    rows, kv_heads, _, size = k_RGLd.shape
    keys, values = prefix.keys_BGMd, prefix.values_BGMd
    documents, _, longest, _ = keys.shape
    fitting = (documents, kv_heads, longest, size)
    if (
        keys.shape != fitting
        or values.shape != fitting
        or {keys.dtype, values.dtype} != {k_RGLd.dtype}
    ):
        raise ParameterError(
            f"a prefix of keys {list(keys.shape)} and values {list(values.shape)} does not go with "
            f"k {list(k_RGLd.shape)}: it needs the same kv heads, size and kind of number"
        )
    for name, numbers, limit in (
        ("row_R", prefix.row_R, documents - 1),
        ("seen_R", prefix.seen_R, longest),
    ):
        if numbers.dtype != torch.int64 or numbers.shape != (rows,):
            raise ParameterError(f"{name} must be int64 of shape [{rows}], got {numbers}")
        if rows and not 0 <= int(numbers.min()) <= int(numbers.max()) <= limit:
            raise ParameterError(f"{name} must lie in [0, {limit}], got {numbers.tolist()}")
