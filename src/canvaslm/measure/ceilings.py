"""The machine's own limits, measured here and now: what every speed stands beside."""

from __future__ import annotations

from canvaslm.kernels.cpu.library import runnable, threads
from canvaslm.kernels.cpu.peaks import Peaks, best_speed, measure_peaks

QUICK = 64 << 20
SIZE = 1024  # of the square matrices that torch multiplies


def measure_ceilings(*, quick: bool = False) -> Peaks:
    """By the native probes, or with torch's own operations where none are compiled.

    `quick` reads a small buffer and tries once: for tests, not for numbers that are kept.
    """
    if runnable():
        return measure_peaks(read_bytes=QUICK, tries=1, rounds=64) if quick else measure_peaks()
    return torch_peaks(tries=1 if quick else 5, read_bytes=QUICK if quick else 1 << 30)


def torch_peaks(*, tries: int, read_bytes: int) -> Peaks:
    """What torch reaches: a sum over a large buffer, products of large square matrices."""
    import torch

    buffer = torch.ones(read_bytes // 4)
    a, b = torch.randn(2, SIZE, SIZE)
    half_a, half_b = a.bfloat16(), b.bfloat16()
    byte_a, byte_b = (a * 40).to(torch.int8), (b * 40).to(torch.int8)

    def read() -> int:
        float(buffer.sum())
        return buffer.nbytes

    def product(x: torch.Tensor, y: torch.Tensor) -> int:
        if x.dtype == torch.int8:
            torch._int_mm(x, y)
        else:
            torch.mm(x, y)
        return 2 * SIZE**3

    return Peaks(
        instructions="torch",
        threads=threads(),
        read_bytes=best_speed(read, tries),
        float32=best_speed(lambda: product(a, b), tries),
        bfloat16=best_speed(lambda: product(half_a, half_b), tries),
        int8=best_speed(lambda: product(byte_a, byte_b), tries),
    )
