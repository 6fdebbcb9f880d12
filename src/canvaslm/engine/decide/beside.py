"""Attention of many short rows beside each other after one prefix that all of them share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.cache.pages import Prefix

# B rows, H heads, G kv heads, r = H / G, N queries (L behind a row), R = r * N, S keys in sight,
# d head, U rows that others stand behind

Segment = tuple[Tensor, Tensor]  # K and V, [G, n, d] of the prefix, [G, B, n, d] of rows
Run = tuple[int, int]  # a row, and how many in turn stand behind it

WHOLE = 256  # most queries of a row whose scores are computed at once
BLOCK = 64  # of a longer row so many at a time: their scores stay in the cache


class Beside:
    """An `Attend` for a causal pass over rows [B, N], each going on from `prefix` on its own.

    Rows may be padded on the right to a common length, `lengths` [B] are the true ones. Their K/V
    stay here, for the passes `Behind` them: nothing is copied and nothing written to the prefix. A
    row's scores are products of shapes that its own length and the prefix decide, or of rows in a
    stack, never sums over other rows.
    """

    def __init__(self, prefix: Prefix, lengths_B: Tensor) -> None:
        self.prefix, self.lengths_B = prefix, lengths_B
        self.own: dict[int, Segment] = {}
        self._hidden: dict[int | None, Tensor] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        own = self.own[layer] = by_head(k), by_head(v)
        products, count = Products(self.prefix.segments(layer), [own]), q.shape[2]
        hidden_1NS = self.hidden(layer, count)[None]
        step = count if count <= WHOLE else BLOCK
        parts = [
            products.attend(q[:, :, i : i + step], hidden_1NS[:, i : i + step])
            for i in range(0, count, step)
        ]
        return torch.cat(parts, dim=2)

    def hidden(self, layer: int, count: int) -> Tensor:
        """What a row's query may not see [N, S]: the future, and what has left its window."""
        window = self.prefix.pool.config.layers[layer].window
        if window not in self._hidden:
            start, device = self.prefix.length, self.lengths_B.device
            key_S = torch.arange(self.prefix.reach(layer), start + count, device=device)
            query_N = torch.arange(start, start + count, device=device)
            self._hidden[window] = out_of_sight(query_N, key_S, window)
        return self._hidden[window]


class Behind:
    """An `Attend` for rows [B, L] that stand behind rows of `beside`: canvases, or, `causal`, what
    has been said of an answer. `rows` names for each what it stands behind, in ascending order."""

    def __init__(self, beside: Beside, rows: Sequence[int], *, causal: bool) -> None:
        self.beside, self.causal, self.runs = beside, causal, [*Counter(rows).items()]
        self.lengths_B = beside.lengths_B[torch.tensor(rows, device=beside.lengths_B.device)]
        self._hidden: dict[int | None, Tensor | None] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shared = self.beside.prefix.segments(layer)
        rows = [self.beside.own[layer], (by_head(k), by_head(v))]
        return Products(shared, rows, self.runs).attend(q, self.hidden(layer, q.shape[2]))

    def hidden(self, layer: int, count: int) -> Tensor | None:
        """Which keys a row's query may not see [B, L, S]: padding, and what its end no longer
        reaches; of those in its own row a canvas sees all, what is said what came before."""
        prefix = self.beside.prefix
        window = prefix.pool.config.layers[layer].window
        if window not in self._hidden:
            device, own = self.lengths_B.device, self.beside.own[layer][0].shape[2]
            key_S = torch.arange(prefix.reach(layer), prefix.length + own, device=device)
            end_B11 = prefix.length + self.lengths_B[:, None, None]
            place_L = torch.arange(count, device=device)
            query_BL1 = end_B11 + (place_L if self.causal else 0 * place_L)[:, None]
            hidden_BLS = (key_S >= end_B11).expand(-1, count, -1)
            if window is not None:
                hidden_BLS = hidden_BLS | (key_S <= query_BL1 - window)
            beside_LL = out_of_sight(place_L, place_L, window) & self.causal
            row_BLL = beside_LL.expand(len(hidden_BLS), -1, -1)
            found = torch.cat((hidden_BLS, row_BLL), dim=-1)
            self._hidden[window] = found if bool(found.any()) else None
        return self._hidden[window]


def out_of_sight(query_N: Tensor, key_S: Tensor, window: int | None) -> Tensor:
    """[N, S]: the future, and what has left the window."""
    query_N1 = query_N[:, None]
    future_NS = key_S > query_N1
    return future_NS if window is None else future_NS | (key_S <= query_N1 - window)


@dataclass(frozen=True, eq=False)
class Products:
    """Keys and values in sight: those `shared` by all, and of `rows`, where `runs` says how many
    rows in turn look at each row of the first of them; None: each row at its own."""

    shared: Sequence[Segment]
    rows: Sequence[Segment]
    runs: Sequence[Run] | None = None

    def attend(self, q: Tensor, hidden_BNS: Tensor | None) -> Tensor:
        """softmax(q k^T) v: [B, H, N, d]."""
        batch, heads, count, size = q.shape
        groups = self.rows[0][0].shape[0]
        scores_GBRS = self.scores(by_head(q.reshape(batch, groups, -1, size)))
        if hidden_BNS is not None:
            by_query = scores_GBRS.view(groups, batch, -1, count, scores_GBRS.shape[-1])
            by_query.masked_fill_(hidden_BNS[:, None], -torch.inf)
        p_GBRS = scores_GBRS.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
        return self.weigh(p_GBRS).transpose(0, 1).reshape(batch, heads, count, size)

    def scores(self, q_GBRd: Tensor) -> Tensor:
        """q k^T over the prefix, which all rows fold into one product, and each row's own keys."""
        parts = [folded(q_GBRd, keys.transpose(1, 2)) for keys, _ in self.shared]
        keys = [keys.transpose(2, 3) for keys, _ in self.rows]
        return torch.cat([*parts, *self.of_rows([q_GBRd] * len(keys), keys)], dim=-1)

    def weigh(self, p_GBRS: Tensor) -> Tensor:
        """The sum of all values, weighted: [G, B, R, d]."""
        widths = [keys.shape[-2] for keys, _ in (*self.shared, *self.rows)]
        parts, known = p_GBRS.split_with_sizes(widths, dim=-1), len(self.shared)
        pairs = zip(parts[:known], self.shared, strict=True)
        mixed = [folded(part, values) for part, (_, values) in pairs]
        mixed += self.of_rows(parts[known:], [values for _, values in self.rows])
        return sum(mixed[1:], start=mixed[0])

    def of_rows(self, rows: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
        """The products with what belongs to rows."""
        if self.runs is None:
            return [row @ other for row, other in zip(rows, others, strict=True)]
        first = in_runs(rows[0], others[0], self.runs)
        return [first, *(row @ other for row, other in zip(rows[1:], others[1:], strict=True))]


def by_head(x_BGNd: Tensor) -> Tensor:
    """[G, B, N, d], in one piece."""
    return x_BGNd.transpose(0, 1).contiguous()


def folded(x_GBRm: Tensor, other_Gmn: Tensor) -> Tensor:
    """x times the same for all rows: [G, B, R, n]."""
    return torch.bmm(x_GBRm.flatten(1, 2), other_Gmn).view(*x_GBRm.shape[:3], -1)


def in_runs(x_GBRm: Tensor, other_GUmn: Tensor, runs: Sequence[Run]) -> Tensor:
    """The rows of x, folded run by run, each times that of the others which its run names."""
    (first, length), (last, _), shape = runs[0], runs[-1], x_GBRm.shape
    if last - first + 1 == len(runs) and all(count == length for _, count in runs):
        x_GUrm = x_GBRm.reshape(shape[0], len(runs), -1, shape[-1])
        return (x_GUrm @ other_GUmn[:, first : last + 1]).view(*shape[:3], -1)
    parts = x_GBRm.split_with_sizes([count for _, count in runs], dim=1)
    named = (other_GUmn[:, row] for row, _ in runs)
    return torch.cat([folded(part, one) for part, one in zip(parts, named, strict=True)], dim=1)
