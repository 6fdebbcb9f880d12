"""Token ids to prefix pages: the causal pass, in pieces of one page at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from canvaslm.cache.attend import Causal
from canvaslm.cache.known import Trail
from canvaslm.cache.pages import Prefix
from canvaslm.model.network import Network

# B batch, N tokens, D hidden


def extend(model: Network, prefixes: Sequence[Prefix], ids_BN: Tensor) -> Tensor:
    """Encode N tokens more for every prefix; returns their hidden states [B, N, D]."""
    starts = torch.tensor([[prefix.length] for prefix in prefixes], device=ids_BN.device)
    positions_BN = starts + torch.arange(ids_BN.shape[1], device=ids_BN.device)
    hidden_BND = model.encode(ids_BN, positions_BN, Causal(prefixes))
    for prefix in prefixes:
        prefix.advance(ids_BN.shape[1])
    return hidden_BND


def extend_all(
    model: Network, prefix: Prefix, ids: Sequence[int], *, trail: Trail | None = None
) -> Iterator[Tensor]:
    """Encode `ids` of any number, yielding the hidden states of each piece [1, n, D].

    Pieces end where pages and turns end, so that the scores of a long prompt fit into memory, and a
    prompt gives the same bits whether or not its first pieces were there before. With the prefix's
    `trail` each piece is remembered as soon as it is encoded.
    """
    pool = prefix.pool
    for piece in pool.cut(ids, at=prefix.length):
        hidden_1ND = extend(model, [prefix], torch.tensor([piece.ids], device=pool.device))
        if trail is not None:
            trail.remember(piece)
        yield hidden_1ND
