"""How the steps of a run are computed: as they are written, or by something quicker."""

from __future__ import annotations

from typing import Literal

import torch

from canvaslm.kernels.choose import training
from canvaslm.training.compiled import can_compile
from canvaslm.training.group import Group
from canvaslm.training.recipe import Recipe

Way = Literal["plain", "compiled", "fused"]
"""As model/transformer.py has it; compiled by PyTorch; on a CPU by operations of our own."""


def quickest(recipe: Recipe, device: torch.device, group: Group) -> Way:
    """The quickest way that recipe and machine allow."""
    if recipe.recompute or group.sharded:
        return "plain"
    if device.type == "cpu" and training() is not None:
        return "fused"
    return "compiled" if can_compile() else "plain"
