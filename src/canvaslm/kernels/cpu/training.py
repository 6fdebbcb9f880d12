"""All operations that training on a CPU has of its own, of one instruction set."""

from __future__ import annotations

import ctypes

from canvaslm.kernels.cpu.train_attention import TrainAttention
from canvaslm.kernels.cpu.train_rows import TrainRows


class Training(TrainRows, TrainAttention):
    """What stands between the products of a network that learns, forwards and back."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for family in (TrainRows, TrainAttention):
            family.__init__(self, library)
