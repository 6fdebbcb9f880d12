"""A micro-batch cut by documents, or the canvases of one, a part for each process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from canvaslm.training.data.batch import Batch, Micro


def part_of(micro: Micro, *, rank: int, size: int) -> Micro:
    """Part `rank` of `size`: together the parts count as the whole, each token the same.

    A lone document is read by all, and its canvases are cut. Where there are fewer to cut than
    parts, the rest get one that counts nothing: every process does as many micro-batches as the
    others.
    """
    whole = micro.batch
    alone = len(whole.documents_BN) == 1
    all_of_it = torch.arange(len(whole.clean_RL if alone else whole.documents_BN))
    mine, first = all_of_it[rank::size], all_of_it[:1]
    chosen = mine if len(mine) else first
    batch = rows(whole, first, chosen) if alone else of_documents(whole, chosen)
    if not len(mine):
        return replace(micro, batch=batch, canvas_weight=0.0, causal_weight=0.0)
    read = share(batch.causal_BN[:, 1:], whole.causal_BN[:, 1:])
    if alone:  # all read all of it, one learns from that
        read = float(rank == 0)
    return replace(
        micro,
        batch=batch,
        canvas_weight=micro.canvas_weight * share(batch.clean_RL, whole.clean_RL),
        causal_weight=micro.causal_weight * read,
    )


def share(part: Tensor, whole: Tensor) -> float:
    """How much of the tokens, or of the marked ones, a part holds."""
    if whole.dtype == torch.bool:
        return int(part.sum()) / max(1, int(whole.sum()))
    return part.numel() / whole.numel()


def of_documents(batch: Batch, row_B: Tensor) -> Batch:
    """Some documents of a batch, with their canvases."""
    canvases = len(batch.clean_RL) // len(batch.documents_BN)
    row_R = (row_B[:, None] * canvases + torch.arange(canvases)).flatten()
    return rows(batch, row_B, row_R)


def rows(batch: Batch, row_B: Tensor, row_R: Tensor) -> Batch:
    """Some documents and canvases; a name's last part says which of the two a tensor belongs to."""
    chosen = {"B": row_B, "R": row_R}
    kept: dict[str, Any] = {
        name: tensor[chosen[name.rpartition("_")[2][0]]] for name, tensor in batch.tensors.items()
    }
    return replace(batch, **kept)
