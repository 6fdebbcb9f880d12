"""The operations of a network, by name: what each computes, whoever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Weight

# T tokens, D hidden, N outputs, K inputs, E experts, X experts per token, I intermediate,
# H heads, G kv heads, d head, S keys, V vocabulary, R rows asked for


class RowOperations(Protocol):
    """What happens to rows between the products; all tensors are float32 unless it says so."""

    def rows(self, x_TK: Tensor, kind: Kind) -> Rows:
        """Round x for a product. int8: q = round(x / scale), scale = max |x| / 127 of its row."""
        ...

    def norm(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float, kind: Kind) -> Rows:
        """rows(h / rms(h) * weight)."""
        ...

    def normed(self, h_TD: Tensor, weight_D: Tensor | None, *, eps: float) -> Tensor:
        """h / rms(h) * weight."""
        ...

    def add_normed(
        self, h_TD: Tensor, x_TD: Tensor, weight_D: Tensor, *, eps: float, scalar: float = 1.0
    ) -> None:
        """h = (h + x / rms(x) * weight) * scalar, in place."""
        ...

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
        """`add_normed` of what two branches came to: x = normed(one) + normed(other), in one pass.

        The weights [D] are those of one, of other, and of x. Both branches may be overwritten.
        """
        ...

    def gate(self, gate_TI: Tensor, up_TI: Tensor, kind: Kind) -> Rows:
        """rows(gelu(gate) * up); gelu is tanh's form. Both may be views with contiguous rows."""
        ...

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
        """Heads of q [T, H d] and of k and v [T, G d] normalised and turned.

        q and k are rms-normalised, weighted and turned in pairs (i, i + d/2) by cos and sin
        [T, d/2]; v is rms-normalised only, and may be k. All may be views with contiguous rows. The
        outputs are float32 or bfloat16, all three the same.
        """
        ...

    def route(
        self,
        h_TD: Tensor,
        router_ED: Tensor,
        expert_scale_E: Tensor,
        *,
        top_k: int,
        eps: float,
    ) -> tuple[Tensor, Tensor]:
        """The likeliest experts: weights [T, X], and int32 experts [T, X].

        softmax(router (h / rms(h))), its top_k renormalised to 1, times expert_scale; of equal
        scores the lower expert wins. `router` holds the input scale and 1 / sqrt(D) already.
        """
        ...

    def embed(self, ids_T: Tensor, table: Weight, *, scale: float) -> Tensor:
        """The table's rows, dequantised, times scale: float32 [T, D]."""
        ...


class LinearOperations(Protocol):
    def linear(self, x: Rows, weight: Weight) -> Tensor:
        """x weight^T: float32 [T, N].

        int8 rows go with int8, int4 and mxfp4 weights, bfloat16 rows with all but float32, float32
        rows with float32 and bfloat16. Products of int8 are exact integers within a group, whose
        sums are added up in float32 in the order of the groups: a row's bits depend on nothing but
        the row and the weight.
        """
        ...


@dataclass(frozen=True, eq=False)
class Experts:
    """The weights of one layer's experts, E of each; `handle` is the backend's own."""

    gate: Sequence[Weight]  # [I, D]
    up: Sequence[Weight]  # [I, D]
    down: Sequence[Weight]  # [D, I]
    handle: Any = None


class ExpertOperations(Protocol):
    def gather(
        self, gate: Sequence[Weight], up: Sequence[Weight], down: Sequence[Weight]
    ) -> Experts:
        """Make ready for `experts`, once; the weights stay where they lie."""
        ...

    def experts(self, x: Rows, experts: Experts, weights_TX: Tensor, index_TX: Tensor) -> Tensor:
        """Sum over a token's experts of weight * down(gelu(gate x) * up x): float32 [T, D].

        Between the two products the rows are rounded to the kind of `x`.
        """
        ...


@dataclass(frozen=True, eq=False)
class QuantisedKV:
    """K and V of n tokens, int8 [G, n, d] strided in G and n: x = q * scale, float32 [G, n].

    Scales have a stride of 1 in n.
    """

    keys: Tensor
    values: Tensor
    key_scale: Tensor
    value_scale: Tensor


Segment = tuple[Tensor, Tensor] | QuantisedKV


class AttentionOperations(Protocol):
    def attend(
        self,
        q_HNd: Tensor,
        segments: Sequence[Segment],
        *,
        before: int | None = None,
        window: int | None = None,
    ) -> Tensor:
        """softmax(q k^T) v over all segments at once: float32 [N, H, d]; the scale is 1.

        Segments are K and V [G, n, d], strided in G and n, all of the type of q, float32 or
        bfloat16, or all int8 with scales; q is strided in H and N. With `before` the last N keys
        are the queries' own and the pass is causal: query i sees keys up to before + i, with a
        `window` no further back than before + i - window + 1. Without it every query sees every
        key.
        """
        ...


@dataclass(frozen=True, eq=False)
class Belief:
    """What a vocabulary head saw at T positions; natural logarithms.

    log_z    log of the sum of e^z [T]
    entropy  in nats [T]
    best     the first of the largest z, int64 [T]
    drawn    a token drawn with the uniform number given, int64 [T], or None
    state    what the backend keeps to `soften` it
    """

    log_z: Tensor
    entropy: Tensor
    best: Tensor
    drawn: Tensor | None
    state: Any = None


class HeadOperations(Protocol):
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
        """Statistics of softmax(z), z = (softcap tanh(x table^T / softcap) + bias) / temperature.

        One pass over the table; [T, V] logits are not kept. `uniform` [T], float64 in [0, 1),
        draws one token a row by the inverse of the cumulative distribution, exactly. A bias of
        -inf rules a token out. With `soft`, what `soften` needs is kept.
        """
        ...

    def soften(self, belief: Belief, rows_R: Tensor | None = None) -> Tensor:
        """softmax(z) table of some rows, or all: float32 [R, D].

        Where a distribution is narrow, tokens are left out that have at most DROPPED of its
        probability together; the rest is not renormalised.
        """
        ...

    def logits(self, x: Rows, table: Weight, *, softcap: float | None) -> Tensor:
        """softcap tanh(x table^T / softcap), asked for whole: float32 [T, V]."""
        ...


DROPPED = 1e-4
"""The probability that `soften` may leave out of a row."""


class Operations(
    RowOperations,
    LinearOperations,
    ExpertOperations,
    AttentionOperations,
    HeadOperations,
    Protocol,
):
    """All of them; `name` says by whom: reference, plain, avx2, avx512 or amx."""

    name: str
