"""What happens to rows between the products, natively: bindings of source/rows.cpp."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_bool, c_float, c_int, c_int32, c_int64, c_void_p

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.layout import Matrix, Panel, matrix, new_rows, panel
from canvaslm.kernels.cpu.library import pointer, threads
from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Weight

# T tokens, K inputs, D hidden, I intermediate, J heads joined, H heads, d head, E experts


class Heads(ctypes.Structure):
    """`struct Heads` of source/rows.cpp."""

    _fields_ = (
        ("raw", c_void_p),
        ("stride", c_int64),
        ("count", c_int64),
        ("norm", c_void_p),
        ("out", c_void_p),
        ("out_head", c_int64),
        ("out_token", c_int64),
    )


class Turn(ctypes.Structure):
    """`struct Turn` of source/rows.cpp."""

    _fields_ = (
        ("parts", Heads * 3),
        ("tokens", c_int64),
        ("size", c_int64),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("eps", c_float),
        ("bfloat16", c_int32),
    )


ARGUMENTS = {
    "rows": (c_int, c_void_p, c_int64, POINTER(Panel)),
    "norm": (c_int, c_void_p, c_void_p, c_float, POINTER(Panel)),
    "normed": (
        *(c_int, c_int64, c_int64, c_void_p, c_void_p, c_float),
        *(c_bool, c_float, c_void_p),
    ),
    "add_both": (c_int, c_int64, c_int64, *(c_void_p,) * 6, c_float, c_float),
    "gate": (c_int, c_void_p, c_int64, c_void_p, c_int64, POINTER(Panel)),
    "turn": (c_int, POINTER(Turn)),
    "route": (
        *(c_int, c_int64, c_int64, c_void_p, c_int64, c_void_p, c_void_p),
        *(c_int64, c_float, c_void_p, c_void_p),
    ),
    "embed": (c_int, c_int64, c_void_p, POINTER(Matrix), c_float, c_void_p),
}


class NativeRows:
    """`RowOperations`, in the panels of source/panel.h."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, types in ARGUMENTS.items():
            function = getattr(library, f"canvaslm_{name}")
            function.argtypes, function.restype = types, None
        library.canvaslm_embed.restype = c_bool

    def rows(self, x_TK: Tensor, kind: Kind) -> Rows:
        made = new_rows(len(x_TK), x_TK.shape[1], kind)
        self.library.canvaslm_rows(threads(), *start(x_TK), byref(panel(made)))
        return made

    def norm(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float, kind: Kind) -> Rows:
        made = new_rows(len(h_TD), h_TD.shape[1], kind)
        self.library.canvaslm_norm(
            threads(), pointer(h_TD), pointer(weight_D), eps, byref(panel(made))
        )
        return made

    def normed(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float) -> Tensor:
        out_TD = torch.empty_like(h_TD)
        self.library.canvaslm_normed(
            threads(), *h_TD.shape, pointer(h_TD), pointer(weight_D), eps, False, 1.0,
            pointer(out_TD),
        )  # fmt: skip
        return out_TD

    def add_normed(
        self, h_TD: Tensor, x_TD: Tensor, weight_D: Tensor, *, eps: float, scalar: float = 1.0
    ) -> None:
        self.library.canvaslm_normed(
            threads(), *h_TD.shape, pointer(x_TD), pointer(weight_D), eps, True, scalar,
            pointer(h_TD),
        )  # fmt: skip

    def add_both(
        self,
        h_TD: Tensor,
        one_TD: Tensor,
        other_TD: Tensor,
        weights: tuple[Tensor, Tensor, Tensor],
        *,
        eps: float,
        scalar: float = 1.0,
    ) -> None:
        self.library.canvaslm_add_both(
            threads(), *h_TD.shape, pointer(h_TD), pointer(one_TD), pointer(other_TD),
            *map(pointer, weights), eps, scalar,
        )  # fmt: skip

    def gate(self, gate_TI: Tensor, up_TI: Tensor, kind: Kind) -> Rows:
        made = new_rows(len(gate_TI), gate_TI.shape[1], kind)
        self.library.canvaslm_gate(threads(), *start(gate_TI), *start(up_TI), byref(panel(made)))
        return made

    def turn(
        self,
        q_TJ: Tensor,
        k_TJ: Tensor,
        v_TJ: Tensor,
        *,
        q_norm_d: Tensor,
        k_norm_d: Tensor,
        cos_Th: Tensor,
        sin_Th: Tensor,
        eps: float,
        q_out_HTd: Tensor,
        k_out_GTd: Tensor,
        v_out_GTd: Tensor,
    ) -> None:
        parts = (Heads * 3)(
            heads(q_TJ, q_norm_d, q_out_HTd),
            heads(k_TJ, k_norm_d, k_out_GTd),
            heads(v_TJ, None, v_out_GTd),
        )
        _, count, size = q_out_HTd.shape
        narrow = q_out_HTd.dtype == torch.bfloat16
        turn = Turn(parts, count, size, pointer(cos_Th), pointer(sin_Th), eps, narrow)
        self.library.canvaslm_turn(threads(), byref(turn))

    def route(
        self,
        h_TD: Tensor,
        router_ED: Tensor,
        expert_scale_E: Tensor,
        *,
        top_k: int,
        eps: float,
    ) -> tuple[Tensor, Tensor]:
        count, width = h_TD.shape
        weights_TX = torch.empty(count, top_k)
        index_TX = torch.empty(count, top_k, dtype=torch.int32)
        self.library.canvaslm_route(
            threads(), count, width, pointer(h_TD), len(router_ED), pointer(router_ED),
            pointer(expert_scale_E), top_k, eps, pointer(weights_TX), pointer(index_TX),
        )  # fmt: skip
        return weights_TX, index_TX

    def embed(self, ids_T: Tensor, table: Weight, *, scale: float) -> Tensor:
        count, (known, width) = len(ids_T), table.shape
        out_TD = torch.empty(count, width)
        done = self.library.canvaslm_embed(
            threads(), count, pointer(ids_T), byref(matrix(table)), scale, pointer(out_TD)
        )
        if not done:
            raise ParameterError(
                f"token ids must lie in [0, {known}), got {int(ids_T.min())} to "
                f"{int(ids_T.max())}: is this the tokenizer of another model?"
            )
        return out_TD


def start(x_TK: Tensor) -> tuple[int, int]:
    """Where rows begin, and how far apart they are; each must be contiguous."""
    assert x_TK.stride(1) == 1 or x_TK.shape[1] == 1
    return x_TK.data_ptr(), x_TK.stride(0)


def heads(x_TJ: Tensor, norm_d: Tensor | None, out_HTd: Tensor) -> Heads:
    count, _, size = out_HTd.shape
    assert x_TJ.shape[1] == count * size
    assert out_HTd.stride(2) == 1
    return Heads(*start(x_TJ), count, pointer(norm_d), out_HTd.data_ptr(), *out_HTd.stride()[:2])
