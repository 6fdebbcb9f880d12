"""A deeper network that begins as the shallower one it is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Transformer

LAYER = re.compile(r"layers\.(\d+)\.(.+)")
OUTPUTS = ("attention_out.weight", "feedforward_out.weight")
"""Norms of what a layer adds to the residual: at zero it adds nothing."""


@torch.no_grad()
def grow(model: Transformer, weights: Mapping[str, Tensor]) -> None:
    """Fill `model` with the weights of a network that has fewer layers, so that both compute the
    same: every other layer is a copy of the one before it whose outputs weigh nothing yet.

    The last layer stays the last. Raises TrainingError where the weights do not fit.
    """
    layers = [int(found[1]) for name in weights if (found := LAYER.fullmatch(name))]
    copied = sources(1 + max(layers, default=-1), len(model.layers))
    for name, parameter in model.named_parameters():
        source, new = name, False
        if found := LAYER.fullmatch(name):
            old, new = copied[int(found[1])]
            source = f"layers.{old}.{found[2]}"
        if source not in weights or weights[source].shape != parameter.shape:
            raise TrainingError(
                f"{name} has no counterpart of its size in what is to be grown: only the number "
                "of layers may differ"
            )
        parameter.copy_(weights[source])
        if new and name.endswith(OUTPUTS):
            parameter.zero_()


def sources(before: int, after: int) -> list[tuple[int, bool]]:
    """For each layer of `after` the one of `before` that it is copied from, and whether it is new.

    Raises TrainingError unless `after` is a multiple of `before`.
    """
    if before < 1 or after % before:
        raise TrainingError(f"{before} layers grow to a multiple of that, not to {after}")
    each, last = after // before, before - 1
    old = {index * each: index for index in range(last)} | {after - 1: last}
    return [(old.get(i, min(i // each, max(last - 1, 0))), i not in old) for i in range(after)]
