"""Norms, residuals, gates, heads and losses as single operations with their own gradients.

Each is a fused form of what model/transformer.py and training/objective.py say, and is tested
against it. The residual is float32, what enters a product `dtype`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.training import Training

# T tokens, D hidden, I intermediate, R rows of N tokens, H heads, d head, V vocabulary


class Norm(Function):
    """h [T, D] -> h / rms(h) * weight."""

    @staticmethod
    def forward(
        ctx: Any,
        native: Training,
        h_TD: Tensor,
        weight_D: Tensor | None,
        eps: float,
        dtype: torch.dtype,
    ) -> Tensor:
        out_TD, inverse_T = native.norm(h_TD, weight_D, eps=eps, dtype=dtype)
        ctx.native = native
        ctx.save_for_backward(h_TD, weight_D, inverse_T)
        return out_TD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TD: Tensor) -> Any:
        h_grad, weight_grad = ctx.native.norm_back(*ctx.saved_tensors, grad_TD.contiguous())
        return None, h_grad, weight_grad, None, None


class AddNormed(Function):
    """h, part [T, D] -> (h + norm(part)) * scalar, and the norm of that for the next product."""

    @staticmethod
    def forward(
        ctx: Any,
        native: Training,
        h_TD: Tensor,
        part_TD: Tensor,
        sum_weight_D: Tensor,
        norm_weight_D: Tensor,
        eps: float,
        scalar: float,
    ) -> tuple[Tensor, Tensor | None]:
        weights = sum_weight_D, norm_weight_D
        sum_TD, normed_TD, *inverses = native.add(h_TD, part_TD, weights, eps=eps, scalar=scalar)
        ctx.native, ctx.scalar = native, scalar
        ctx.save_for_backward(sum_TD, part_TD, *weights, *inverses)
        ctx.set_materialize_grads(False)
        return sum_TD, normed_TD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, sum_grad: Tensor | None, normed_grad: Tensor | None) -> Any:
        sum_TD, part_TD, sum_weight, norm_weight, *inverses = ctx.saved_tensors
        grads = ctx.native.add_back(
            sum_TD,
            part_TD,
            (sum_weight, norm_weight),
            tuple(inverses),
            tuple(None if g is None else g.contiguous() for g in (sum_grad, normed_grad)),
            scalar=ctx.scalar,
        )
        return None, *grads, None, None


class Gate(Function):
    """gate, up [T, I] -> gelu(gate) * up."""

    @staticmethod
    def forward(ctx: Any, native: Training, gate_TI: Tensor, up_TI: Tensor) -> Tensor:
        ctx.native = native
        ctx.save_for_backward(gate_TI, up_TI)
        return native.gate(gate_TI, up_TI)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TI: Tensor) -> Any:
        return None, *ctx.native.gate_back(*ctx.saved_tensors, grad_TI.contiguous())


class Turn(Function):
    """raw [R, N, H, d] -> heads normed, weighted and turned; without a norm only normed."""

    @staticmethod
    def forward(
        ctx: Any,
        native: Training,
        raw_RNHd: Tensor,
        norm_d: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.native, ctx.eps = native, eps
        ctx.save_for_backward(raw_RNHd, norm_d, cos, sin)
        return native.turn(raw_RNHd, norm_d, cos, sin, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RNHd: Tensor) -> Any:
        if grad_RNHd.stride(-1) != 1:
            grad_RNHd = grad_RNHd.contiguous()
        grads = ctx.native.turn_back(*ctx.saved_tensors, grad_RNHd, eps=ctx.eps)
        return None, *grads, None, None, None


class CrossEntropy(Function):
    """logits [T, V] -> loss [T] at the target of their capped form, and hits [T]."""

    @staticmethod
    def forward(
        ctx: Any, native: Training, logits_TV: Tensor, target_T: Tensor, cap: float
    ) -> tuple[Tensor, Tensor]:
        loss_T, hit_T, sums_T = native.loss(logits_TV, target_T, cap)
        ctx.native, ctx.cap = native, cap
        ctx.save_for_backward(logits_TV, target_T, sums_T)
        ctx.mark_non_differentiable(hit_T)
        return loss_T, hit_T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_T: Tensor, _: Tensor | None) -> Any:
        grad = ctx.native.loss_back(*ctx.saved_tensors, grad_T.contiguous(), ctx.cap)
        return None, grad, None, None


def norm(
    native: Training, h_TD: Tensor, weight_D: Tensor | None, *, eps: float, dtype: torch.dtype
) -> Tensor:
    """h / rms(h) * weight, as what enters a product."""
    made: Tensor = Norm.apply(native, h_TD, weight_D, eps, dtype)  # type: ignore[no-untyped-call]
    return made


def add_normed(
    native: Training,
    h_TD: Tensor,
    part_TD: Tensor,
    weights: tuple[Tensor, Tensor],
    *,
    eps: float,
    scalar: float,
) -> tuple[Tensor, Tensor]:
    """The next residual, and its norm for the next product."""
    made: tuple[Tensor, Tensor] = AddNormed.apply(  # type: ignore[no-untyped-call]
        native, h_TD, part_TD, *weights, eps, scalar
    )
    return made


def gate(native: Training, gate_TI: Tensor, up_TI: Tensor) -> Tensor:
    made: Tensor = Gate.apply(native, gate_TI, up_TI)  # type: ignore[no-untyped-call]
    return made


def turn(
    native: Training,
    raw_RNHd: Tensor,
    norm_d: Tensor | None,
    turned: tuple[Tensor, Tensor],
    *,
    eps: float,
) -> Tensor:
    made: Tensor = Turn.apply(native, raw_RNHd, norm_d, *turned, eps)  # type: ignore[no-untyped-call]
    return made


def cross_entropy(
    native: Training, logits_TV: Tensor, target_T: Tensor, *, cap: float
) -> tuple[Tensor, Tensor]:
    """Losses and hits [T]. Raises ParameterError for targets beyond the vocabulary."""
    size = logits_TV.shape[1]
    if len(target_T) and not 0 <= int(target_T.min()) <= int(target_T.max()) < size:
        raise ParameterError(
            f"targets must lie in [0, {size - 1}], got {int(target_T.min())} to "
            f"{int(target_T.max())}"
        )
    made: tuple[Tensor, Tensor] = CrossEntropy.apply(  # type: ignore[no-untyped-call]
        native, logits_TV, target_T, cap
    )
    return made
