"""Freed memory goes back to the system."""

import asyncio
from pathlib import Path

import pytest
import torch

from canvaslm.server.monitor.memory import keep_trimmed, trimmer


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(trimmer() is None, reason="the C library cannot give memory back")
def test_what_was_freed_does_not_stay_resident() -> None:
    pieces = [torch.ones(5_000) for _ in range(5_000)]  # 100 MB, too small to be mapped
    kept = pieces[::50]
    full = resident()
    del pieces
    asyncio.run(trimmed_soon())
    assert full - resident() > 60_000_000
    assert kept


async def trimmed_soon() -> None:
    task = asyncio.create_task(keep_trimmed(every=0.01))
    await asyncio.sleep(0.2)
    task.cancel()
