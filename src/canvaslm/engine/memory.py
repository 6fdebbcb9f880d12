"""Memory that a program may still take: what is free, and what a container's limit leaves."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM, GROUPS = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60


def available_memory(system: Path = SYSTEM, groups: Path = GROUPS) -> int:
    """Bytes a program may take now: what the machine has free, less where a group is limited.

    Pages of files that the system would drop count as free.
    """
    free = entry(system, "MemAvailable:")
    if not free:
        return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"), group_room(groups))
    return min(free * 1024, group_room(groups))


def group_room(root: Path) -> int:
    """What a control group leaves: its limit less its use, but for files it could let go."""
    limit = read_number(root / "memory.max")
    if limit is not None:
        used = read_number(root / "memory.current") or 0
        return limit - used + entry(root / "memory.stat", "inactive_file")
    limit = read_number(root / "memory" / "memory.limit_in_bytes")
    if limit is None or limit >= UNLIMITED:
        return UNLIMITED
    used = read_number(root / "memory" / "memory.usage_in_bytes") or 0
    return limit - used + entry(root / "memory" / "memory.stat", "total_inactive_file")


def read_number(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):  # not there, or "max"
        return None


def entry(file: Path, key: str) -> int:
    """The number beside a word, or 0."""
    try:
        lines = file.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
