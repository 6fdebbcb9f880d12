"""A connection that does not wait for ever: for a request's head, or for who reads nothing."""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from canvaslm.server.errors import ApiError

HEAD, STALL = 20.0, 60.0
LAST = 0.5
"""Seconds that a connection on which nothing was asked yet stays when the server stops: its request
may be on the way, and is told why it is not served."""


class PatientConnection(H11Protocol):
    """uvicorn's, with two more limits in seconds: `head` until a request's head is whole, `stall`
    for which a full buffer may stand still. What is no HTTP is told so in the API's shape."""

    head, stall = HEAD, STALL
    _heading: asyncio.TimerHandle | None = None
    _stalling: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.idle:
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_stalling()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes less than is sent."""
        super().pause_writing()
        self._stalling = self.loop.call_later(self.stall, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stop_stalling()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops."""
        if getattr(self, "cycle", None) is None:
            self.loop.call_later(LAST, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        error = ApiError("this is not a valid HTTP request: send HTTP/1.1", code="invalid_http")
        body = json.dumps(error.body()).encode("ascii")
        headers = {"content-type": "application/json", "connection": "close"}
        headers["content-length"] = str(len(body))
        start = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    @property
    def idle(self) -> bool:
        """Whether no request is at work, so that the head of one is waited for."""
        return getattr(self.cycle, "response_complete", True)

    def _await_head(self) -> None:
        if self._heading is None:
            self._heading = self.loop.call_later(self.head, self._too_slow)

    def _too_slow(self) -> None:
        self._heading = None
        if self.idle:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._heading is not None:
            self._heading.cancel()
            self._heading = None

    def _stop_stalling(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
