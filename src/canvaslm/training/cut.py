"""A micro-batch cut by documents, one part for each process."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from canvaslm.training.data.batch import Batch, Micro


def part_of(micro: Micro, *, rank: int, size: int) -> Micro:
    """Part `rank` of `size`: together the parts count as the whole, each token the same.

    Where there are fewer documents than parts, the rest get one that counts nothing: every
    process does as many micro-batches as the others.
    """
    whole = micro.batch
    row_B = torch.arange(len(whole.documents_BN))[rank::size]
    if not len(row_B):
        return replace(
            micro, batch=rows(whole, torch.tensor([0])), canvas_weight=0, causal_weight=0
        )
    batch = rows(whole, row_B)
    return replace(
        micro,
        batch=batch,
        canvas_weight=micro.canvas_weight * share(batch.clean_RL, whole.clean_RL),
        causal_weight=micro.causal_weight * share(batch.causal_BN[:, 1:], whole.causal_BN[:, 1:]),
    )


def share(part: Tensor, whole: Tensor) -> float:
    """How much of the tokens, or of the marked ones, a part holds."""
    if whole.dtype == torch.bool:
        return int(part.sum()) / max(1, int(whole.sum()))
    return part.numel() / whole.numel()


def rows(batch: Batch, row_B: Tensor) -> Batch:
    """Some documents of a batch, with their canvases; a name's last part says whose a tensor is."""
    canvases = len(batch.clean_RL) // len(batch.documents_BN)
    row_R = (row_B[:, None] * canvases + torch.arange(canvases)).flatten()
    chosen = {"B": row_B, "R": row_R}
    return replace(
        batch,
        **{name: tensor[chosen[name.split("_")[1][0]]] for name, tensor in batch.tensors.items()},
    )
