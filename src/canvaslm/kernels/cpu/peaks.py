"""What this machine can do at most, measured: memory that is read, products of each kind."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from canvaslm.kernels.cpu.layout import KINDS
from canvaslm.kernels.cpu.library import InstructionSet, open_library, pointer, runnable, threads
from canvaslm.kernels.rows import Kind

OPERANDS = 1 << 15  # bytes: they stay in the first cache
ITEMS = 8  # pieces of work to each thread, so that a slower one does not hold up the end
ROUNDS = 1 << 12
READ_BYTES = 1 << 31  # several times what one core gets of any third cache


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The best of several tries by `threads` threads with `instructions`; per second."""

    instructions: str
    threads: int
    read_bytes: float
    float32: float
    bfloat16: float
    int8: float

    def operations(self, kind: Kind) -> float:
        """Additions and multiplications a second of products of one kind."""
        return {"float32": self.float32, "bfloat16": self.bfloat16, "int8": self.int8}[kind]

    def or_better(self, other: Peaks) -> Peaks:
        """The best of both: a probe that other work disturbed says too little."""
        return replace(
            self,
            read_bytes=max(self.read_bytes, other.read_bytes),
            float32=max(self.float32, other.float32),
            bfloat16=max(self.bfloat16, other.bfloat16),
            int8=max(self.int8, other.int8),
        )


def measure_peaks(
    name: InstructionSet | None = None,
    *,
    read_bytes: int = READ_BYTES,
    tries: int = 5,
    rounds: int = ROUNDS,
) -> Peaks:
    """Measure with one library, by default the best that runs here.

    A product's operands are random and come from the first cache. Raises ParameterError where no
    library was compiled.
    """
    chosen = name or (runnable() or ["plain"])[-1]
    library = open_library(chosen)
    return Peaks(
        instructions=chosen,
        threads=threads(),
        read_bytes=read_speed(library, size=read_bytes, tries=tries),
        float32=product_speed(library, "float32", rounds=rounds, tries=tries),
        bfloat16=product_speed(library, "bfloat16", rounds=rounds, tries=tries),
        int8=product_speed(library, "int8", rounds=rounds, tries=tries),
    )


def read_speed(library: ctypes.CDLL, *, size: int, tries: int) -> float:
    """Bytes a second out of a buffer of `size` bytes."""
    read = library.canvaslm_peak_read
    read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
    read.restype = ctypes.c_uint64
    buffer = torch.ones(size // 8, dtype=torch.int64)  # written, so that its pages are its own

    def work() -> int:
        read(threads(), pointer(buffer), buffer.nbytes)
        return buffer.nbytes

    return best_speed(work, tries)


def product_speed(library: ctypes.CDLL, kind: Kind, *, rounds: int, tries: int) -> float:
    """Operations a second of one kind's instruction on random numbers."""
    multiply = library.canvaslm_peak_product
    multiply.argtypes = (
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    multiply.restype = ctypes.c_int64
    generator = torch.Generator().manual_seed(0)
    operands = torch.randn(OPERANDS // 4, generator=generator).clamp_(-3, 3)
    if kind == "int8":
        operands = (operands * 40).to(torch.int8).repeat(4)
    elif kind == "bfloat16":
        operands = operands.bfloat16().repeat(2)
    items = ITEMS * threads()
    sink = torch.empty(items)

    def work() -> int:
        done = multiply(threads(), KINDS[kind], items, rounds, pointer(operands), pointer(sink))
        return int(done)

    return best_speed(work, tries)


def best_speed(work: Callable[[], int], tries: int) -> float:
    """What `work` says it did, over the seconds it took, at its best; the first go warms up."""
    work()
    speeds = []
    for _ in range(tries):
        begun = time.perf_counter()
        done = work()
        speeds.append(done / (time.perf_counter() - begun))
    return max(speeds)
