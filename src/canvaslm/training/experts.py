"""The mixture of experts as one operation with its own gradient, so that compilation stays whole.

Same maths as `model.moe.Experts.forward`, tested equal. Tokens are grouped by expert once; every
elementwise pass runs over all groups together, only the matrix products loop over experts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# T tokens, K experts per token, S = T * K slots sorted by expert, D hidden, I intermediate, J = 2 I


def _each(counts: list[int]) -> list[tuple[int, slice]]:
    """(expert, its slots) for every expert that has any."""
    spans, start = [], 0
    for expert, count in enumerate(counts):
        if count:
            spans.append((expert, slice(start, start + count)))
        start += count
    return spans


def _activate(gate_up_SJ: Tensor) -> Tensor:
    gate, up = gate_up_SJ.chunk(2, dim=-1)
    return F.gelu(gate, approximate="tanh") * up


def _ungroup(rows_SD: Tensor, order_S: Tensor, index_TK: Tensor) -> Tensor:
    """Rows sorted by expert, back in the order of their tokens: [T, K, D]."""
    place_S = torch.empty_like(order_S)
    place_S[order_S] = torch.arange(len(order_S), device=order_S.device)
    return rows_SD.index_select(0, place_S).view(*index_TK.shape, -1)


def mixture(
    x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """Weighted sum over each token's experts: [T, D]; under autocast in its kind of number, which
    an operation of our own is not told."""
    kind, place = x_TD.dtype, x_TD.device.type
    if torch.is_autocast_enabled(place):
        kind = torch.get_autocast_dtype(place)
    mixed_TD: Tensor = experts(
        x_TD.to(kind), weights_TK, index_TK, gate_up.to(kind), down.to(kind)
    )[0]
    return mixed_TD.to(x_TD.dtype)


@torch.library.custom_op("canvaslm::experts", mutates_args=())
def experts(
    x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor, gate_up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weighted sum over each token's experts, and what the gradient needs: order, gate-up, y."""
    order_S = index_TK.flatten().argsort(stable=True)
    counts = torch.bincount(index_TK.flatten(), minlength=gate_up.shape[0]).tolist()
    x_SD = x_TD.index_select(0, order_S // index_TK.shape[1])
    gate_up_SJ = x_TD.new_empty(len(order_S), gate_up.shape[1])
    for e, span in _each(counts):
        torch.mm(x_SD[span], gate_up[e].t(), out=gate_up_SJ[span])
    active_SI = _activate(gate_up_SJ)
    y_SD = torch.empty_like(x_SD)
    for e, span in _each(counts):
        torch.mm(active_SI[span], down[e].t(), out=y_SD[span])
    y_TKD = _ungroup(y_SD, order_S, index_TK)
    mixed_TD = (y_TKD * weights_TK[..., None].to(y_TKD.dtype)).sum(dim=1)
    return mixed_TD, order_S, gate_up_SJ, y_TKD


@experts.register_fake
def _(
    x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor, gate_up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tokens, top_k = index_TK.shape
    slots = tokens * top_k
    return (
        torch.empty_like(x_TD),
        index_TK.new_empty(slots),
        x_TD.new_empty(slots, gate_up.shape[1]),
        x_TD.new_empty(tokens, top_k, x_TD.shape[1]),
    )


def _gradient_of(weight: Tensor, learns: bool) -> Tensor:
    """Zeros to add to, or nothing: the experts of an adapter's base are most of its memory."""
    return torch.zeros_like(weight) if learns else weight.new_empty(0)


@torch.library.custom_op("canvaslm::experts_backward", mutates_args=())
def experts_backward(
    grad_TD: Tensor,
    x_TD: Tensor,
    weights_TK: Tensor,
    index_TK: Tensor,
    gate_up: Tensor,
    down: Tensor,
    order_S: Tensor,
    gate_up_SJ: Tensor,
    y_TKD: Tensor,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weights, gate_up and down; those of the last two are empty unless the
    experts learn."""
    top_k = index_TK.shape[1]
    counts = torch.bincount(index_TK.flatten(), minlength=gate_up.shape[0]).tolist()
    grad_weights_TK = torch.einsum("td,tkd->tk", grad_TD, y_TKD).to(weights_TK.dtype)
    token_S = order_S // top_k
    weight_S1 = weights_TK.flatten()[order_S, None].to(grad_TD.dtype)
    grad_y_SD = grad_TD.index_select(0, token_S) * weight_S1
    gate, up = gate_up_SJ.chunk(2, dim=-1)
    curved = F.gelu(gate, approximate="tanh")
    active_SI = curved * up
    grad_active_SI = torch.empty_like(active_SI)
    grad_down = _gradient_of(down, learns)
    for e, span in _each(counts):
        torch.mm(grad_y_SD[span], down[e], out=grad_active_SI[span])
        if learns:
            torch.mm(grad_y_SD[span].t(), active_SI[span], out=grad_down[e])
    grad_gate = torch.ops.aten.gelu_backward(grad_active_SI * up, gate, approximate="tanh")
    grad_up = grad_active_SI * curved
    grad_gate_up_SJ = torch.cat((grad_gate, grad_up), dim=-1)
    x_SD = x_TD.index_select(0, token_S)
    grad_x_SD = torch.empty_like(x_SD)
    grad_gate_up = _gradient_of(gate_up, learns)
    for e, span in _each(counts):
        torch.mm(grad_gate_up_SJ[span], gate_up[e], out=grad_x_SD[span])
        if learns:
            torch.mm(grad_gate_up_SJ[span].t(), x_SD[span], out=grad_gate_up[e])
    grad_x_TD = _ungroup(grad_x_SD, order_S, index_TK).sum(dim=1)
    return grad_x_TD, grad_weights_TK, grad_gate_up, grad_down


@experts_backward.register_fake
def _(
    grad_TD: Tensor,
    x_TD: Tensor,
    weights_TK: Tensor,
    index_TK: Tensor,
    gate_up: Tensor,
    down: Tensor,
    order_S: Tensor,
    gate_up_SJ: Tensor,
    y_TKD: Tensor,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(x_TD),
        torch.empty_like(weights_TK),
        _gradient_of(gate_up, learns),
        _gradient_of(down, learns),
    )


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, order_S, gate_up_SJ, y_TKD = output
    ctx.save_for_backward(*inputs, order_S, gate_up_SJ, y_TKD)


def _gradient(ctx, grad_TD, *unused):  # type: ignore[no-untyped-def]
    x, weights, index, gate_up, down, order, gate_up_SJ, y = ctx.saved_tensors
    learns = any(ctx.needs_input_grad[3:])
    grad_x, grad_weights, *experts = experts_backward(
        grad_TD.contiguous(), x, weights, index, gate_up, down, order, gate_up_SJ, y, learns
    )
    return grad_x, grad_weights, None, *(experts if learns else (None, None))


experts.register_autograd(_gradient, setup_context=_save)
