"""What a step computes, and what this machine could: operations a second beside the peak."""

from __future__ import annotations

from collections.abc import Callable

import torch

from canvaslm.kernels.cpu.library import open_library, runnable
from canvaslm.kernels.cpu.peaks import ROUNDS, best_speed, product_speed
from canvaslm.kernels.rows import Kind
from canvaslm.measure.work import Formats, Shape, count
from canvaslm.model.config import ModelConfig
from canvaslm.training.data.batch import Batch

FORMATS = Formats(experts="float32", dense="float32", embedding="float32", cache="float32")
SIDE = 4096  # of the square matrices that measure a GPU


def operations(config: ModelConfig, batch: Batch) -> float:
    """Additions and multiplications in the matrix products of one micro-batch.

    A gradient costs two passes more; the first guess has none. What is computed again to save
    memory is not counted: it is no progress.
    """
    documents, tokens = batch.documents_BN.shape
    canvases, length = batch.clean_RL.shape
    scored = documents * (tokens - 1) if bool(batch.causal_BN.any()) else 0
    prefix = round(float(batch.prefix_B.float().mean()))
    sighted = int(batch.sighted_R.sum())
    encode = Shape(rows=documents, tokens=tokens, prefix=0, causal=True, read=scored)
    denoise = Shape(rows=canvases, tokens=length, prefix=prefix, read=canvases * length)
    done = 3 * (passes(config, encode) + passes(config, denoise))
    if sighted:
        guess = Shape(rows=sighted, tokens=length, prefix=prefix, read=sighted * length, soft=True)
        done += passes(config, guess)
    return done


def passes(config: ModelConfig, shape: Shape) -> float:
    return sum(part.operations for part in count(config, FORMATS, shape).values())


def peak(device: torch.device, *, bfloat16: bool) -> float:
    """Operations a second of matrix products in the run's kind of number, measured here and now:
    by the native probe on a CPU that has one, else by products of large matrices."""
    kind: Kind = "bfloat16" if bfloat16 else "float32"
    if device.type == "cpu" and (names := runnable()):
        return product_speed(open_library(names[-1]), kind, rounds=ROUNDS, tries=3)
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    return torch_speed(device, dtype, SIDE if device.type == "cuda" else SIDE // 8)


Speed = Callable[[torch.device, torch.dtype, int], float]
"""What `torch_speed` does."""


def bfloat16_gain(device: torch.device, *, speed: Speed | None = None) -> float:
    """How many times as fast PyTorch's products are in bfloat16 as in float32, measured here and
    now: far less than once where a CPU lacks instructions for them and computes in software."""
    side = SIDE if device.type == "cuda" else SIDE // 16
    measure = speed or torch_speed
    return measure(device, torch.bfloat16, side) / measure(device, torch.float32, side)


def torch_speed(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Operations a second of PyTorch's products of square matrices."""
    a, b = torch.randn(2, side, side, device=device).to(dtype)

    def product() -> int:
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 2 * side**3

    return best_speed(product, 20)
