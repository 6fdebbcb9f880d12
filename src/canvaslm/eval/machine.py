"""The machine that a number was measured on."""

import os
import platform
from pathlib import Path

import torch

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd")
"""Processor features that matrix products gain from, as Linux names them."""


def cpu_name() -> str:
    """The processor as it calls itself, else its architecture."""
    return _cpu_line("model name") or platform.machine()


def cpu_features() -> list[str]:
    """Those of INSTRUCTIONS that this processor has; empty where the system does not say."""
    flags = set((_cpu_line("flags") or _cpu_line("Features")).split())
    return [name for name in INSTRUCTIONS if name in flags]


def core_count() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def describe_device(device: torch.device) -> str:
    """The processor or accelerator behind `device`, by name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_line(key: str) -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
