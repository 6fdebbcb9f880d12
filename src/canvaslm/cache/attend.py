"""What queries may look at: a causal pass that writes pages, a canvas that reads them in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.cache.pages import Prefix
from canvaslm.cache.quantise import widened
from canvaslm.kernels.ops import Segment

# B batch, H heads, G kv heads, r = H / G, N queries, S keys in sight, d head

SAFE_SCORE = 60.0  # e^60 times any context is far from overflow, e^-60 from vanishing
SCORE_LIMIT = 1 << 26  # scores held at a time, so that a long context costs time, not memory


def mix(
    q_HNd: Tensor,
    segments: Sequence[tuple[Tensor, Tensor]],
    hidden_NS: Tensor | None = None,
    *,
    bound: float = math.inf,
) -> Tensor:
    """softmax(q k^T) v over all segments at once: [H, N, d].

    Each segment's scores go straight into their place in one row, so K and V are never joined; the
    heads that share a kv head are folded into the rows, so neither are K and V repeated. The scale
    is 1, the softmax is computed in float32. `hidden` marks the keys a query may not see; `bound`
    is what no score can exceed.
    """
    heads, count, size = q_HNd.shape
    kv_heads, seen = segments[0][0].shape[0], sum(k.shape[1] for k, _ in segments)
    step = max(SCORE_LIMIT // (heads * seen), 1)
    if count > step:
        parts = []
        for i in range(0, count, step):
            hide = None if hidden_NS is None else hidden_NS[i : i + step]
            parts.append(mix(q_HNd[:, i : i + step], segments, hide, bound=bound))
        return torch.cat(parts, dim=1)
    scores_GRS = join_scores(q_HNd.reshape(kv_heads, -1, size), segments, hidden_NS)
    if bound <= SAFE_SCORE and scores_GRS.dtype == torch.float32:
        # e^score can neither overflow nor vanish, so two passes of the softmax are not needed
        weights_GRS = scores_GRS.exp_()
        mixed = weigh(weights_GRS, segments).div_(weights_GRS.sum(dim=-1, keepdim=True))
    else:
        p_GRS = scores_GRS.softmax(dim=-1, dtype=torch.float32).to(q_HNd.dtype)
        mixed = weigh(p_GRS, segments)
    return mixed.view(heads, count, size)


def join_scores(
    q_GRd: Tensor, segments: Sequence[tuple[Tensor, Tensor]], hidden_NS: Tensor | None
) -> Tensor:
    """q k^T over the segments, -inf where hidden: [G, R, S]."""
    kv_heads, rows, _ = q_GRd.shape
    widths = [k.shape[1] for k, _ in segments]
    scores_GRS = q_GRd.new_empty(kv_heads, rows, sum(widths))
    for (keys, _), place in zip(segments, scores_GRS.split_with_sizes(widths, dim=-1), strict=True):
        torch.bmm(q_GRd, keys.transpose(1, 2), out=place)
    if hidden_NS is not None:
        scores_GRS.view(kv_heads, -1, *hidden_NS.shape).masked_fill_(hidden_NS, -torch.inf)
    return scores_GRS


def weigh(p_GRS: Tensor, segments: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of the segments' values, weighted: [G, R, d]."""
    parts = p_GRS.split_with_sizes([v.shape[1] for _, v in segments], dim=-1)
    mixed = torch.bmm(parts[0], segments[0][1])
    for part, (_, values) in zip(parts[1:], segments[1:], strict=True):
        mixed.baddbmm_(part, values)
    return mixed


def stacked(rows: list[Tensor]) -> Tensor:
    """[B, ...], without a copy where there is one row."""
    return rows[0][None] if len(rows) == 1 else torch.stack(rows)


class Bidirectional:
    """Denoising: every canvas token sees its prefix (on sliding layers its end) and the canvas.

    One prefix for each row of the batch; the same prefix may serve several. Nothing is written.
    The result has the type of q, or float32 where the pool has attention operations.
    """

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self.prefixes = prefixes

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return stacked(
            [
                self.look(prefix, layer, q[row], k[row], v[row])
                for row, prefix in enumerate(self.prefixes)
            ]
        )

    def look(self, prefix: Prefix, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pool = prefix.pool
        if pool.attention is None:
            segments = [*prefix.segments(layer), (k, v)]
            return mix(q, segments, bound=pool.score_bounds[layer])
        pieces = [*prefix.pieces(layer), pool.stored(k, v)]
        return pool.attention.attend(q, pieces).transpose(0, 1)


class Causal:
    """Encoding: a token sees what came before it and itself, and its K/V go to its prefix's pages.

    Rows may continue prefixes of different lengths. After the pass the caller advances each prefix
    by the number of tokens; until then nothing counts.
    """

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self.prefixes = prefixes
        self._hidden: dict[tuple[int, int, int | None], Tensor | None] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed = []
        for row, prefix in enumerate(self.prefixes):
            own = prefix.pool.stored(k[row], v[row])
            mixed.append(self.look(prefix, layer, q[row], own))
            prefix.put(layer, own)
        return stacked(mixed)

    def look(self, prefix: Prefix, layer: int, q: Tensor, own: Segment) -> Tensor:
        pool, pieces = prefix.pool, [*prefix.pieces(layer), own]
        if pool.attention is None:
            hidden_NS = self.hidden(layer, prefix, q.shape[1], q.device)
            segments = [widened(piece, pool.dtype) for piece in pieces]
            return mix(q, segments, hidden_NS, bound=pool.score_bounds[layer])
        window = pool.config.layers[layer].window
        before = prefix.length - prefix.reach(layer)
        return pool.attention.attend(q, pieces, before=before, window=window).transpose(0, 1)

    def hidden(self, layer: int, prefix: Prefix, count: int, device: torch.device) -> Tensor | None:
        """Which keys a query may not see [N, S], the same for all layers of one window."""
        window = prefix.pool.config.layers[layer].window
        before = prefix.length - prefix.reach(layer)
        key = (before, count, window)
        if key not in self._hidden:
            self._hidden[key] = hidden(before, count, window, device) if count > 1 else None
        return self._hidden[key]


def hidden(before: int, count: int, window: int | None, device: torch.device) -> Tensor:
    """[N, before + N]: True where a key is the future, or has left the query's window."""
    query = torch.arange(before, before + count, device=device)[:, None]
    key = torch.arange(before + count, device=device)
    future = key > query
    return future if window is None else future | (key <= query - window)
