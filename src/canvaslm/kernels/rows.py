"""Activations on their way into a product: rounded once, read by many weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

# T tokens, K inputs, C = ceil(T / 16) blocks of 16 tokens

Kind = Literal["float32", "bfloat16", "int8"]

LANES = 16
"""Tokens of a block: one vector register holds a number of each."""


@dataclass(frozen=True, eq=False)
class Rows:
    """T rows of K numbers, in the layout of the backend that made them.

    int8 rows have one `scale` each, x = q * scale with q in [-127, 127]; `sums` are what a product
    with unsigned weights has to take off. What lies in the tensors is the backend's own affair.
    """

    kind: Kind
    count: int
    width: int
    data: Tensor
    scale: Tensor | None = None
    sums: Tensor | None = None
