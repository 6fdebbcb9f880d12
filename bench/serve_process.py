"""A server in a process of its own: started, looked at from outside, and stopped."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from serve_wire import Address, Cut, ask

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
OURS = ("-m", "canvaslm.cli.app", "serve", "--port", "0", "--log-level", "info")
PEER = (str(HERE / "serve_peer.py"), "--port", "0")
LISTENING = re.compile(r"listening on http://[^ ]*:(\d+)")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the system says of a process."""

    resident: int  # bytes
    threads: int
    files: int


@dataclass(frozen=True, kw_only=True)
class Process:
    """A running server and what it has said."""

    address: Address
    running: subprocess.Popen[bytes]
    said: Path

    def look(self) -> Seen:
        """How large it is now."""
        folder = Path(f"/proc/{self.running.pid}")
        lines = (folder / "status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return Seen(
            resident=1024 * int(fields["VmRSS"].split()[0]),
            threads=int(fields["Threads"]),
            files=len(list((folder / "fd").iterdir())),
        )

    def seconds(self) -> float:
        """Processor time so far."""
        text = Path(f"/proc/{self.running.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    async def metrics(self, key: str | None = None) -> dict[str, float]:
        """The numbers of /metrics by name."""
        status, text = await ask(self.address, "/metrics", key=key)
        if status != 200:
            raise RuntimeError(f"/metrics said {status}: {text}")
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def idle(self, key: str | None = None, *, seconds: float = 60.0) -> bool:
        """Wait until nothing runs; False: something still does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = await self.metrics(key)
            if not found["canvaslm_active"] and not found["canvaslm_queue_length"]:
                return True
            await asyncio.sleep(0.1)
        return False

    async def end(self, *, seconds: float = 60.0) -> int | None:
        """Wait for its end: the exit code, or None if it had to be killed."""
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self.running.wait, seconds)
        self.running.kill()
        self.running.wait()
        return None


@asynccontextmanager
async def served(
    command: Sequence[str] = OURS, *, keys: Sequence[str] = (), patience: float = 120.0
) -> AsyncIterator[Process]:
    """A server that is ready; stopped after the block."""
    with tempfile.TemporaryDirectory() as scratch:
        said = Path(scratch) / "said"
        with said.open("wb") as out:
            process = await start(command, out=out, said=said, keys=keys, patience=patience)
            try:
                yield process
            finally:
                process.running.terminate()
                await process.end(seconds=30)


async def start(
    command: Sequence[str], *, out: IO[bytes], said: Path, keys: Sequence[str], patience: float
) -> Process:
    """Raises RuntimeError with what it said where it does not become ready."""
    environment = os.environ | {"CANVASLM_API_KEYS": ",".join(keys)}
    running = subprocess.Popen(
        [sys.executable, *command], stdout=out, stderr=out, env=environment, cwd=HERE.parent
    )
    until = time.monotonic() + patience
    while time.monotonic() < until and running.poll() is None:
        found = LISTENING.search(said.read_text(errors="replace"))
        if found is not None:
            process = Process(address=Address(port=int(found[1])), running=running, said=said)
            if await ready(process.address):
                return process
        await asyncio.sleep(0.1)
    running.kill()
    running.wait()
    raise RuntimeError(f"the server did not become ready; it said:\n{said.read_text()[-2000:]}")


async def ready(address: Address) -> bool:
    with suppress(OSError, Cut):
        return (await ask(address, "/ready"))[0] == 200
    return False
