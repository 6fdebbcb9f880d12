"""Attention over keys that lie in pieces: the definition, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.ops import QuantisedKV, Segment

# H heads, G kv heads, r = H / G, N queries, S keys, d head


class ReferenceAttention:
    """`AttentionOperations`: joined, widened to float32, and a softmax."""

    def attend(
        self,
        q_HNd: Tensor,
        segments: Sequence[Segment],
        *,
        before: int | None = None,
        window: int | None = None,
    ) -> Tensor:
        heads, count, size = q_HNd.shape
        pairs = [widened(segment) for segment in segments]
        keys_GSd = torch.cat([keys for keys, _ in pairs], dim=1)
        values_GSd = torch.cat([values for _, values in pairs], dim=1)
        check_causal(count, keys_GSd.shape[1], before, window)
        q_GrNd = q_HNd.float().reshape(keys_GSd.shape[0], -1, count, size)
        scores_GrNS = q_GrNd @ keys_GSd[:, None].transpose(2, 3)
        if before is not None:
            query_N1 = torch.arange(before, before + count)[:, None]
            key_S = torch.arange(before + count)
            hidden_NS = key_S > query_N1
            if window is not None:
                hidden_NS |= key_S <= query_N1 - window
            scores_GrNS.masked_fill_(hidden_NS, -torch.inf)
        mixed_GrNd = scores_GrNS.softmax(dim=-1) @ values_GSd[:, None]
        return mixed_GrNd.reshape(heads, count, size).transpose(0, 1).contiguous()


def widened(segment: Segment) -> tuple[Tensor, Tensor]:
    """K and V of a segment as float32 [G, n, d]."""
    if isinstance(segment, QuantisedKV):
        return (
            segment.keys * segment.key_scale[..., None],
            segment.values * segment.value_scale[..., None],
        )
    keys, values = segment
    return keys.float(), values.float()


def check_causal(count: int, seen: int, before: int | None, window: int | None) -> None:
    """Refuse a mask that does not fit `count` queries over `seen` keys."""
    if before is None:
        if window is not None:
            raise ParameterError("a window belongs to a causal pass: give `before`, too")
    elif before + count != seen:
        raise ParameterError(
            f"a causal pass of {count} queries after {before} keys needs {before + count} keys, "
            f"got {seen}: the last segment holds the queries' own"
        )
    elif window is not None and window < 1:
        raise ParameterError(f"window must be at least 1 key, got {window}")
