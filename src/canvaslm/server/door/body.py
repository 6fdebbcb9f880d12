"""Bodies: read whole before anything else sees them, within limits of size, time and nesting."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canvaslm.errors import OverloadedError
from canvaslm.server.errors import ApiError
from canvaslm.server.service import Caller, Presence
from canvaslm.server.settings import Settings

PATIENCE = 8
"""Times the limit that is taken of a body that is too large, before its sender is cut off."""
SPARE = 32
"""Requests with a body beside those that the engine has room for."""
NO_BODY = frozenset({"GET", "HEAD", "OPTIONS"})

# A string, or the rest of the body where one does not end: always a match, so never a second look.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Bodies:
    """Hands on a body that is whole, and notices when the client goes away after it."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._inside: Counter[str] = Counter()
        self._room = settings.limits.active + settings.limits.queue + SPARE
        self._own = settings.limits.per_client + SPARE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not has_body(scope):
            await self._pass(scope, receive, send)
            return
        client = scope["state"]["caller"].client
        self._check_room(client)
        self._inside[client] += 1
        try:
            await self._pass(scope, receive, send)
        finally:
            self._inside[client] -= 1
            self._inside += Counter()  # forgets who has none

    def _check_room(self, client: str) -> None:
        """Raise OverloadedError where too many bodies are here, or too many of one client's."""
        if self._inside.total() >= self._room or self._inside[client] >= self._own:
            most = min(self._room, self._own)
            raise OverloadedError(
                f"{most} or more requests are here already: ask again soon", retry_after=1.0
            )

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope["state"]["caller"]
        body = await self._read(scope, receive)
        if body is None:
            return
        check_json(body, depth=self._settings.depth)
        if self._settings.log_prompts:
            caller.tally.body = body
        watching = asyncio.ensure_future(watch(receive, caller.presence))
        try:
            await self._app(scope, Replay(body, caller.presence), send)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            caller.presence.leave()

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None if the client went away in the middle of it."""
        limit, headers = self._settings.body, Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:
            raise ambiguous()
        if headers.get("expect") and declared(headers) > limit:
            raise too_large(limit)
        try:
            async with asyncio.timeout(self._settings.read):
                return await read_body(receive, limit=limit)
        except TimeoutError:
            raise ApiError(
                f"the body did not arrive within {self._settings.read:g} seconds: send it faster",
                status=408,
                kind="timeout_error",
                code="body_timeout",
                headers={"Connection": "close"},
            ) from None


def has_body(scope: Scope) -> bool:
    """Whether one is announced, or the method is one that usually has one."""
    headers = Headers(scope=scope)
    announced = "transfer-encoding" in headers or declared(headers) > 0
    return announced or scope["method"] not in NO_BODY


def declared(headers: Headers) -> int:
    """The body's length, as its sender says."""
    length = headers.get("content-length", "0")
    return int(length[:18]) if length.isascii() and length.isdecimal() else 0


async def read_body(receive: Receive, *, limit: int) -> bytes | None:
    """All of it. Raises ApiError if it is longer than `limit`.

    Some more is then taken and thrown away: a client that is still sending would find its
    connection reset instead of an answer.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        else:
            pieces.clear()
        whole = not message.get("more_body", False)
        if size > limit and (whole or size > PATIENCE * limit):
            raise too_large(limit)
        if whole:
            return b"".join(pieces)


def too_large(limit: int) -> ApiError:
    return ApiError(
        f"the body is larger than {limit} bytes, which is the most this server takes: send less",
        status=413,
        kind="invalid_request_error",
        code="request_too_large",
        headers={"Connection": "close"},
    )


def ambiguous() -> ApiError:
    """Two lengths: what is before this server may see another end of the body, and so requests
    that were never sent."""
    return ApiError(
        "the request has both Content-Length and Transfer-Encoding: send one",
        code="invalid_http",
        headers={"Connection": "close"},
    )


def check_json(body: bytes, *, depth: int) -> None:
    """Raise ApiError for JSON that is nested too deeply or has text that cannot be written down."""
    if body.count(b"[") + body.count(b"{") > depth and deeper(body, than=depth):
        raise ApiError(
            f"the body is nested more than {depth} deep: make it flatter", code="too_deep"
        )
    if _SURROGATE.search(body) and not encodable(body):
        raise ApiError(
            "the body has half a surrogate pair (\\ud800 to \\udfff), which is no character: "
            "send whole characters",
            code="invalid_text",
        )


def deeper(body: bytes, *, than: int) -> bool:
    """Whether brackets outside of strings are nested deeper."""
    level = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        level += 1 if bracket in b"[{" else -1
        if level > than:
            return True
    return False


def encodable(body: bytes) -> bool:
    """Whether all of its text has an encoding; what is no JSON at all is refused later."""
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    except ValueError:
        return True
    return True


async def watch(receive: Receive, presence: Presence) -> None:
    """Tell when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    presence.leave()


class Replay:
    """A body as the application receives it: once, and after that the end of the connection."""

    def __init__(self, body: bytes, presence: Presence) -> None:
        self._body: bytes | None = body
        self._presence = presence

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._presence.wait()
        return {"type": "http.disconnect"}
