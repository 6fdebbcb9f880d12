"""`/` and `/web/...`: the page, from a table of files that was read at the start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
}
FIRST = "index.html"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the page, in memory."""

    body: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = request.headers.get("if-none-match", "")
        if known == "*" or self.etag in (tag.strip() for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def web() -> Mapping[str, File]:
    """Every file of the page by its name."""
    found = {}
    for entry in files("canvaslm.server").joinpath("web").iterdir():
        media_type = TYPES.get(PurePosixPath(entry.name).suffix)
        if media_type is not None and entry.is_file():
            body = entry.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found[entry.name] = File(body=body, media_type=media_type, etag=etag)
    return found


@router.get("/")
async def first(request: Request) -> Response:
    """The page itself."""
    return _answer(request, FIRST)


@router.get("/web/{name}")
async def part(request: Request, name: str) -> Response:
    """What it needs: a name that is not in the table is not there, whatever lies on the disk."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    file = request.app.state.web.get(name)
    if file is None:
        raise HTTPException(status_code=404)
    answer: Response = file.answer(request)
    return answer
