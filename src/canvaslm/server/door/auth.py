"""API keys: read from a file or the environment, compared in constant time, never shown."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from canvaslm.errors import ParameterError
from canvaslm.server.errors import ApiError

SHORTEST, LONGEST = 8, 512
OPEN = frozenset({"/", "/health", "/ready"})
OPEN_FOLDER = "/web/"


def read_keys(texts: Iterable[str], *, source: str) -> tuple[str, ...]:
    """Keys, one a line; empty lines and those that begin with # are left out.

    Raises ParameterError, which names the source and line but never shows a key.
    """
    keys = []
    for number, line in enumerate(texts, start=1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ParameterError(f"{source}: key {number} must be plain ASCII without spaces")
        if not SHORTEST <= len(key) <= LONGEST:
            raise ParameterError(
                f"{source}: key {number} must have {SHORTEST} to {LONGEST} characters, "
                f"it has {len(key)}"
            )
        keys.append(key)
    return tuple(dict.fromkeys(keys))


def read_key_file(path: Path) -> tuple[str, ...]:
    """The keys of a file. Raises ParameterError where it cannot be read or has none: that would
    leave the server open."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise ParameterError(f"the key file {path} cannot be read: {failure}") from None
    keys = read_keys(lines, source=f"the key file {path}")
    if not keys:
        raise ParameterError(f"the key file {path} has no key: write one a line")
    return keys


class Keys:
    """Who may ask. Only digests are kept; without any, everybody may."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.replace(keys)

    def replace(self, keys: Iterable[str]) -> None:
        """Take these keys and no others from now on."""
        self._digests = tuple(_digest(key) for key in keys)

    def __len__(self) -> int:
        return len(self._digests)

    def fingerprint(self, key: str) -> str | None:
        """Eight letters that tell keys apart in logs; None for a key that is not known."""
        given = _digest(key)
        known = [hmac.compare_digest(given, digest) for digest in self._digests]  # all, always
        return f"key-{given.hex()[:8]}" if any(known) else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="replace")).digest()


class Authorised:
    """Lets through whoever has a key, and says whose share a request counts for."""

    def __init__(self, app: ASGIApp, *, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0]
        if self._keys and not is_open(scope["path"]):
            key = given_key(Headers(scope=scope))
            known = None if key is None else self._keys.fingerprint(key)
            if known is None:
                raise refusal(given=key is not None)
            client = known
        state = scope["state"]
        state["caller"] = replace(state["caller"], client=client)
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path needs no key: the page, which asks for one itself, and the two probes."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


def given_key(headers: Headers) -> str | None:
    """The key of `Authorization: Bearer KEY` or `X-API-Key: KEY`."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or None


def refusal(*, given: bool) -> ApiError:
    what = "this API key is not known" if given else "there is no API key"
    return ApiError(
        f"{what}: send a valid one as Authorization: Bearer KEY or X-API-Key: KEY",
        status=401,
        kind="authentication_error",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
