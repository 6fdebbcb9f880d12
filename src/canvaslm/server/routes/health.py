"""`/health` and `/ready`: whether the process lives, and whether it takes requests."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from canvaslm.server.errors import unavailable
from canvaslm.server.service import Service, Status

router = APIRouter()


class Health(BaseModel):
    """How the server is."""

    status: Status


@router.get("/health")
async def health(request: Request) -> Health:
    """200 as long as the process works, 503 once it must be started again. Whether it takes
    requests, /ready says."""
    service: Service = request.app.state.service
    if service.status == "failed":
        raise unavailable("the engine has failed: start the server again", code="failed")
    return Health(status=service.status)


@router.get("/ready")
async def ready(request: Request) -> Health:
    """200 if requests are taken, 503 while the model is loaded or the server stops."""
    service: Service = request.app.state.service
    match service.status:
        case "ok":
            return Health(status="ok")
        case "loading":
            raise unavailable("the model is being loaded: ask again soon", code="loading")
        case "stopping":
            raise unavailable("the server is stopping: ask again soon", code="stopping")
    raise unavailable("the engine has failed: start the server again", code="failed")
