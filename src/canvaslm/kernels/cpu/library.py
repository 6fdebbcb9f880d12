"""The compiled kernels: which libraries are there, and the best one that this machine can run."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from canvaslm.errors import ParameterError

InstructionSet = Literal["plain", "avx2", "avx512", "amx"]
SETS: tuple[InstructionSet, ...] = get_args(InstructionSet)  # each one includes those before it

HERE = Path(__file__).resolve().parent


def built() -> list[InstructionSet]:
    """The instruction sets that have been compiled for."""
    return [name for name in SETS if path_of(name).is_file()]


def runnable() -> list[InstructionSet]:
    """Those of them that this machine can run, best last."""
    for name in built():
        try:
            best = ctypes.CDLL(str(path_of(name))).canvaslm_best()
        except (OSError, AttributeError):  # damaged: opening it says so
            continue
        return [name for name in built() if SETS.index(name) <= best]
    return []


def path_of(name: str) -> Path:
    """In this folder, or the one that CANVASLM_LIBRARIES names."""
    return Path(os.environ.get("CANVASLM_LIBRARIES") or HERE) / f"kernels_{name}.so"


@cache
def open_library(name: InstructionSet, *, checked: bool = True) -> ctypes.CDLL:
    """The library for one instruction set. Raises ParameterError where it cannot run.

    Unchecked, it opens whatever the machine is: for one that emulates what it lacks.
    """
    if name not in built():
        raise ParameterError(
            f"no kernels were compiled for {name!r}: install a C++ compiler and run "
            "`python -m canvaslm.kernels.build`"
        )
    try:
        library = ctypes.CDLL(str(path_of(name)))
        best = library.canvaslm_best()  # where tiles are there, this asks the system for them, too
    except (OSError, AttributeError) as error:
        raise ParameterError(
            f"the kernels for {name!r} cannot be loaded ({error}): run "
            "`python -m canvaslm.kernels.build` again"
        ) from None
    if checked and SETS.index(name) > best:
        raise ParameterError(f"this machine has no {name}: its best is {SETS[best]}")
    return library


def pointer(tensor: Tensor | None) -> int | None:
    """Where a contiguous CPU tensor's numbers lie."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return tensor.data_ptr()


def threads() -> int:
    """As many as torch would use."""
    return torch.get_num_threads()
