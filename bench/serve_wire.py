"""HTTP over plain sockets: what the load programs ask with, and how badly they can behave.

A client library would cost as much processor time as the small model that is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
LONGEST_LINE = 1 << 24


class Cut(Exception):
    """The connection ended before the answer did; `begun`: some of it had come."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the connection ended before the answer did")
        self.begun = begun


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens."""

    port: int
    host: str = "127.0.0.1"


def request_of(
    address: Address, method: str, path: str, body: bytes, *, key: str | None = None
) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address.host}:{address.port}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    elif method == "POST":
        lines.append("Content-Length: 0")
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


@dataclass(kw_only=True)
class Wire:
    """One connection, which asks one thing after another."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0  # these two are the latest answer's
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, request: bytes) -> None:
        """Send it and read the answer's head. Raises Cut."""
        self.writer.write(request)
        with suppress(ConnectionError):  # the server may have answered before all was sent
            await self.writer.drain()
        await self.head()

    async def head(self) -> None:
        """Read an answer's head. Raises Cut."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Cut(begun=bool(error.partial)) from None
        except ConnectionError:
            raise Cut(begun=False) from None
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Cut where it ends early."""
        try:
            if self.headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    yield (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            elif length := int(self.headers.get("content-length", "0")):
                yield await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Cut(begun=True) from None

    async def body(self) -> bytes:
        """The whole of it."""
        return b"".join([piece async for piece in self.pieces()])

    async def events(self) -> AsyncIterator[Json | None]:
        """The data of server-sent events; None for [DONE]."""
        rest = b""
        async for piece in self.pieces():
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                for line in block.split(b"\n"):
                    if line.startswith(b"data: "):
                        text = line.removeprefix(b"data: ")
                        yield None if text == b"[DONE]" else json.loads(text)

    @property
    def streams(self) -> bool:
        """Whether the answer comes as events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def abort(self) -> None:
        """Gone, at once."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Wire]:
    """A connection that is gone after the block, however that ends."""
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=LONGEST_LINE)
    wire = Wire(reader=reader, writer=writer)
    try:
        yield wire
    finally:
        wire.abort()


async def ask(
    address: Address, path: str, body: Json | None = None, *, key: str | None = None
) -> tuple[int, Any]:
    """Status and document (or text) of one request on a connection of its own."""
    method, sent = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    async with connected(address) as wire:
        await wire.send(request_of(address, method, path, sent, key=key))
        found = await wire.body()
        whole = wire.headers.get("content-type", "").startswith("application/json")
        return wire.status, json.loads(found) if whole else found.decode()
