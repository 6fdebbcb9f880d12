"""Attention of many short rows beside each other after one prefix that all of them share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.cache.pages import Prefix

# B rows, H heads, G kv heads, r = H / G, N queries, R = r * N, T = B * R, S keys in sight, d head

Segment = tuple[Tensor, Tensor]  # K and V, [G, n, d] of the prefix, [G, B, n, d] of rows


class Beside:
    """An `Attend` for a causal pass over rows [B, N], then a denoising pass over their canvases.

    Each row goes on from `prefix` on its own, as a fork of it would; rows may be padded on the
    right to a common length, `lengths` [B] are the true ones. The causal pass keeps its K/V here,
    so nothing is copied and nothing written to the prefix. A row's scores are products of shapes
    that its own length and the prefix decide, or of rows in a stack, never sums over other rows.
    """

    def __init__(self, prefix: Prefix, lengths_B: Tensor) -> None:
        self.prefix, self.lengths_B = prefix, lengths_B
        self._own: dict[int, Segment] = {}
        self._hidden: dict[tuple[bool, int | None], Tensor | None] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        causal, latest = layer not in self._own, (by_head(k), by_head(v))
        rows = [latest] if causal else [self._own[layer], latest]
        self._own.setdefault(layer, latest)
        batch, groups, count, size = k.shape
        q_GBRd = by_head(q.reshape(batch, groups, -1, size))
        shared = self.prefix.segments(layer)
        scores_GBRS = join_scores(q_GBRd, shared, rows)
        hidden = self.hidden(layer, count, causal=causal)
        if hidden is not None:
            by_query = scores_GBRS.view(groups, batch, -1, count, scores_GBRS.shape[-1])
            by_query.masked_fill_(hidden[:, None], -torch.inf)
        p_GBRS = scores_GBRS.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
        return weigh(p_GBRS, shared, rows).transpose(0, 1).reshape(q.shape)

    def hidden(self, layer: int, count: int, *, causal: bool) -> Tensor | None:
        """Which keys a row's query may not see [B, N, S], the same for all layers of one window."""
        window = self.prefix.pool.config.layers[layer].window
        if (causal, window) not in self._hidden:
            first = self.prefix.reach(layer)
            hidden = self.causal_hidden if causal else self.canvas_hidden
            found = hidden(first, self._own[layer][0].shape[2], count, window)
            self._hidden[causal, window] = found if bool(found.any()) else None
        return self._hidden[causal, window]

    def causal_hidden(self, first: int, own: int, count: int, window: int | None) -> Tensor:
        """The future, and what has left the query's window."""
        start, device = self.prefix.length, self.lengths_B.device
        key_S = torch.arange(first, start + own, device=device)
        query_N1 = torch.arange(start, start + count, device=device)[:, None]
        hidden_NS = key_S > query_N1
        if window is not None:
            hidden_NS = hidden_NS | (key_S <= query_N1 - window)
        return hidden_NS.expand(len(self.lengths_B), -1, -1)

    def canvas_hidden(self, first: int, own: int, count: int, window: int | None) -> Tensor:
        """Padding, and what the end of a row's own prefix no longer reaches; never the canvas."""
        start, device = self.prefix.length, self.lengths_B.device
        key_S = torch.arange(first, start + own, device=device)
        end_B1 = start + self.lengths_B[:, None]
        hidden_BS = key_S >= end_B1
        if window is not None:
            hidden_BS = hidden_BS | (key_S <= end_B1 - window)
        canvas_BL = hidden_BS.new_zeros(len(hidden_BS), count)
        return torch.cat((hidden_BS, canvas_BL), dim=1)[:, None].expand(-1, count, -1)


def by_head(x_BGNd: Tensor) -> Tensor:
    """[G, B, N, d], in one piece."""
    return x_BGNd.transpose(0, 1).contiguous()


def join_scores(q_GBRd: Tensor, shared: Sequence[Segment], rows: Sequence[Segment]) -> Tensor:
    """q k^T over the prefix, which all rows fold into one product, and each row's own keys."""
    q_GTd = q_GBRd.flatten(1, 2)
    parts = [torch.bmm(q_GTd, keys.transpose(1, 2)) for keys, _ in shared]
    folded = [part.view(*q_GBRd.shape[:3], -1) for part in parts]
    return torch.cat([*folded, *(q_GBRd @ keys.transpose(2, 3) for keys, _ in rows)], dim=-1)


def weigh(p_GBRS: Tensor, shared: Sequence[Segment], rows: Sequence[Segment]) -> Tensor:
    """The sum of all values, weighted: [G, B, R, d]."""
    widths = [keys.shape[-2] for keys, _ in (*shared, *rows)]
    parts = iter(p_GBRS.split_with_sizes(widths, dim=-1))
    mixed = [
        torch.bmm(next(parts).flatten(1, 2), values).view(*p_GBRS.shape[:3], -1)
        for _, values in shared
    ]
    mixed += [next(parts) @ values for _, values in rows]
    return sum(mixed[1:], start=mixed[0])
