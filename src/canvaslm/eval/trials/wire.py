"""JSON to an HTTP server and back: with patience where it is busy, and typed errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from canvaslm.errors import ParameterError, ServingError

_BUSY = (429, 502, 503, 504)
_TRIES = 8
_MOST_SECONDS = 30.0
_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A server's base URL. Each request has a connection of its own, so threads may share this."""

    secure: bool
    host: str
    port: int | None
    path: str
    key: str = ""
    timeout: float = 600.0
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def to(cls, url: str, *, key: str = "") -> Wire:
        """Raises ParameterError for what is not the URL of a server."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ParameterError(f"{url!r} is not a URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or parts.query:
            raise ParameterError(f"expected a server as http://host:port/v1, got {url!r}")
        path = parts.path.rstrip("/")
        return cls(secure=parts.scheme == "https", host=host, port=port, path=path, key=key)

    @property
    def url(self) -> str:
        """What it was made of."""
        port = "" if self.port is None else f":{self.port}"
        return f"http{'s' * self.secure}://{self.host}{port}{self.path}"

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The JSON object that comes back. A busy server is asked again when it says, some times.

        Raises ServingError, with the server's own message where it has one.
        """
        for left in reversed(range(_TRIES)):
            status, data, after = self._send(method, path, body)
            if status in _BUSY and left:
                self.sleep(pause(after, _TRIES - left))
                continue
            break
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if status >= 400:
            raise wrong(self.url, f"{method} {path} gave {status}: {said(document, data)}")
        if not isinstance(document, dict):
            raise wrong(self.url, f"{method} {path} gave no JSON object: {said(None, data)}")
        return document

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes, str | None]:
        kind = HTTPSConnection if self.secure else HTTPConnection
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        connection = kind(self.host, self.port, timeout=self.timeout)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, self.path + path, body=data, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.getheader("Retry-After")
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise wrong(self.url, f"{method} {path} failed: {reason}") from None
        finally:
            connection.close()


def pause(after: str | None, tries: int) -> float:
    """Seconds to wait: what the server says, within reason, else longer each time."""
    try:
        asked = float(after) if after is not None else 0.5 * 2.0**tries
    except ValueError:
        asked = 0.5 * 2.0**tries
    return min(max(asked, 0.0), _MOST_SECONDS)


def said(document: Any, data: bytes) -> str:
    """What a server says is wrong: OpenAI's message, or the start of what came."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message) if message else data[:_SHOWN].decode(errors="replace").strip() or "nothing"


def wrong(who: str, what: str) -> ServingError:
    """The complaint about a server."""
    return ServingError(
        f"{who}: {what}; check that it runs and speaks OpenAI's chat completions, then ask again: "
        "a run in a folder goes on with --resume"
    )
