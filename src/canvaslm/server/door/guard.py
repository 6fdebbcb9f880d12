"""What stands at the door: request ids, headers that browsers obey, and who may ask from where."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canvaslm.server.door.auth import is_open
from canvaslm.server.errors import ApiError, api_error
from canvaslm.server.service import Caller
from canvaslm.server.settings import Settings

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Account = Callable[[Scope, "Answer"], None]


class Entrance:
    """The outermost: gives each request its id, each response its headers, and accounts for it at
    the end."""

    def __init__(self, app: ASGIApp, *, account: Account) -> None:
        self._app, self._account = app, account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = Caller(id=request_id(Headers(scope=scope).get("x-request-id")))
        scope.setdefault("state", {})["caller"] = caller
        answer = Answer(scope, send)
        try:
            await self._app(scope, receive, answer)
        finally:
            self._account(scope, answer)


class Answer:
    """Sends a response with the headers that all have.

    `status` is 0 until it begins; `whole` is whether all of it was sent.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.status, self.whole = 0, False
        self._scope, self._send = scope, send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._scope["state"]["caller"].id
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            if not is_open(self._scope["path"]):
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.whole = True


class Caught:
    """Gives an error, whoever raised it, its response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            told = note(scope, error)
            if not begun:
                await told.response()(scope, receive, send)


def note(scope: Scope, error: Exception) -> ApiError:
    """What a client is told of an error, which the request's tally notes."""
    caller: Caller = scope["state"]["caller"]
    told = api_error(error, request_id=caller.id)
    caller.tally.fail(error, told)
    return told


def request_id(given: str | None) -> str:
    """The client's own if it is short and plain, else a new one."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return f"req-{secrets.token_hex(8)}"


class Origins:
    """Keeps web pages of other places away from a server that trusts whoever reaches it."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._origins = frozenset(origin.lower() for origin in settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            self._check_host(host)
            if scope["method"] not in _READS:
                self._check_origin(headers.get("origin"), host)
        await self._app(scope, receive, send)

    def _check_host(self, host: str) -> None:
        """Against DNS rebinding: a page whose own name has been pointed at this machine."""
        if self._hosts is None or hostname(host) in self._hosts:
            return
        raise ApiError(
            "the Host header does not name this server, which listens locally: call it localhost, "
            "or start it with --allow-host NAME",
            status=403,
            kind="permission_error",
            code="host_not_allowed",
        )

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is None or "*" in self._origins or origin.lower() in self._origins:
            return
        if place(origin) == place(f"{origin.partition('://')[0]}://{host}") is not None:
            return
        raise ApiError(
            "a web page of another origin asked: start the server with --cors-origin ORIGIN to "
            "let its pages ask",
            status=403,
            kind="permission_error",
            code="origin_not_allowed",
        )


def allowed_hosts(settings: Settings) -> frozenset[str] | None:
    """The names a Host header may have; None: any, as the server is meant to be reached."""
    if not settings.hosts and not is_loopback(settings.host):
        return None
    own = {"localhost", "127.0.0.1", "::1", settings.host, *settings.hosts}
    return frozenset(name.lower() for name in own)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def hostname(host: str) -> str | None:
    """The name or address in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def place(origin: str) -> tuple[str, int | None] | None:
    """Name and port; None for what is no origin, as "null"."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return None if parts.hostname is None else (parts.hostname, port)
