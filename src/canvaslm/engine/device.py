"""Where a model runs and in which number format, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from canvaslm.errors import ParameterError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A device, a number format, and one sentence on each."""

    device: torch.device
    dtype: torch.dtype
    why_device: str
    why_dtype: str


def choose(device: str, dtype: str, *, stored: torch.dtype, parameters: int) -> Placement:
    """Settle "auto" for a model of so many parameters, stored as `stored`.

    Raises ParameterError for a device this machine lacks or a dtype that is not known.
    """
    place, why_device = choose_device(device)
    number, why_dtype = choose_dtype(dtype, place, stored=stored, parameters=parameters)
    return Placement(device=place, dtype=number, why_device=why_device, why_dtype=why_dtype)


def choose_device(device: str) -> tuple[torch.device, str]:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), "a CUDA device is there"
        return torch.device("cpu"), "no CUDA device was found"
    try:
        place = torch.device(device)
    except RuntimeError:
        place = torch.device("meta")
    if place.type not in ("cpu", "cuda"):
        raise ParameterError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    found = torch.cuda.device_count()
    if place.type == "cuda" and (place.index or 0) >= found:
        raise ParameterError(
            f"device {device!r} is not there: torch sees {found} CUDA devices; use device='cpu'"
        )
    return place, "asked for"


def choose_dtype(
    dtype: str, device: torch.device, *, stored: torch.dtype, parameters: int
) -> tuple[torch.dtype, str]:
    if dtype in DTYPES:
        return DTYPES[dtype], "asked for"
    if dtype != "auto":
        raise ParameterError(f"dtype must be auto or one of {', '.join(DTYPES)}, got {dtype!r}")
    if device.type == "cuda":
        return stored, "as the checkpoint stores it"
    if 4 * parameters <= physical_memory() // 2:
        return torch.float32, "exact, and it fits into half of the memory"
    return stored, "as the checkpoint stores it: float32 would take over half of the memory"


def physical_memory() -> int:
    """Bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
