"""Server-sent events: a response of them, which says that it lives, and stops when nobody reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from canvaslm.server.door.guard import note
from canvaslm.server.errors import ApiError

PING = b": still at work\n\n"
DONE = b"data: [DONE]\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event with a name, as those of /v1/responses have."""

    name: str
    data: Mapping[str, object]


Sent = Mapping[str, object] | Event
Failed = Callable[[ApiError], Sent]


def encode(sent: Sent) -> bytes:
    """An event's bytes, ASCII only: some clients split lines at U+2028 and the like."""
    if isinstance(sent, Event):
        return f"event: {sent.name}\n".encode("ascii") + encode(sent.data)
    return f"data: {json.dumps(sent, separators=(',', ':'), allow_nan=False)}\n\n".encode("ascii")


def plain_failure(error: ApiError) -> Sent:
    """How a stream says that it failed, unless it says it otherwise."""
    return error.body()


class EventStream(Response):
    """Sends events as they come; `done` ends them with [DONE].

    An error midway is sent as `failed` puts it, and is the last thing sent. Every `ping` seconds
    without an event a comment is sent. When the client goes away the events are closed.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[Sent],
        *,
        done: bool = True,
        failed: Failed = plain_failure,
        ping: float = 15.0,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._events, self._done, self._failed = events, done, failed
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(scope, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            ended = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(ended[0], Exception) and not isinstance(ended[0], OSError):
            raise ended[0]

    async def _send(self, scope: Scope, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        chunks = with_pings(self._chunks(scope), every=self._ping)
        try:
            async for chunk in chunks:
                body: Message = {"type": "http.response.body", "body": chunk, "more_body": True}
                await send(body)
        finally:
            await chunks.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self, scope: Scope) -> AsyncGenerator[bytes, None]:
        try:
            async for event in self._events:
                yield encode(event)
        except Exception as error:
            yield encode(self._failed(note(scope, error)))
            return
        finally:
            if isinstance(self._events, AsyncGenerator):
                await self._events.aclose()
        if self._done:
            yield DONE


async def with_pings(
    chunks: AsyncGenerator[bytes, None], *, every: float
) -> AsyncGenerator[bytes, None]:
    """The chunks, and a comment after each `every` seconds without one."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(chunks))
            if not (await asyncio.wait({pending}, timeout=every))[0]:
                yield PING
                continue
            try:
                chunk = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield chunk
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await chunks.aclose()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
