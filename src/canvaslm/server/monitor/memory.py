"""Memory that requests have given back goes back to the system, too."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

EVERY = 20.0  # seconds


def trimmer() -> Callable[[], object] | None:
    """What hands free memory back, where the C library has such a function (glibc); else None."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)


async def keep_trimmed(*, every: float = EVERY) -> None:
    """Do it now and then, beside the event loop. Without it the freed arrays of a busy minute stay
    resident, in pieces, until the process ends."""
    trim = trimmer()
    while trim is not None:
        await asyncio.sleep(every)
        await asyncio.to_thread(trim)
