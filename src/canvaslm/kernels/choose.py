"""Who computes: the best library that runs here, or what is asked for by name."""

from __future__ import annotations

import os
from functools import cache

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.library import SETS, InstructionSet, open_library, runnable
from canvaslm.kernels.cpu.operations import Native
from canvaslm.kernels.cpu.training import Training
from canvaslm.kernels.ops import Operations
from canvaslm.kernels.reference import Reference

VARIABLE = "CANVASLM_KERNELS"


def operations(name: str | None = None) -> Operations:
    """The operations called so: reference, plain, avx2, avx512 or amx.

    Without a name, the environment variable CANVASLM_KERNELS says it; without that it is the best
    set that was compiled and runs here, or the reference where none was. Raises ParameterError for
    a name that is not known, or a set that is not there.
    """
    asked = name or os.environ.get(VARIABLE)
    if not asked:
        return named(next(reversed(runnable()), "reference"))
    if asked not in ("reference", *SETS):
        where = "kernels" if name else VARIABLE
        raise ParameterError(
            f"{where} must be one of reference, {', '.join(SETS)}, got {asked!r}; leave it "
            "away for the best that runs here"
        )
    return named(asked)


@cache
def named(name: str) -> Operations:
    for known in SETS:
        if name == known:
            return Native(known)
    return Reference()


def training() -> Training | None:
    """The operations that training has of its own, chosen as `operations` are; None for the
    reference, which has none: PyTorch's own do their work."""
    asked = os.environ.get(VARIABLE) or next(reversed(runnable()), "reference")
    return next((training_of(known) for known in SETS if asked == known), None)


@cache
def training_of(name: InstructionSet) -> Training:
    return Training(open_library(name))
