"""The application: endpoints, what stands before them, and a document that says what they do."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from canvaslm.errors import CanvasError
from canvaslm.server.door.auth import Authorised, Keys
from canvaslm.server.door.body import Bodies
from canvaslm.server.door.guard import Caught, Entrance, Origins, note
from canvaslm.server.errors import ApiError, ErrorBody
from canvaslm.server.monitor.account import Accounts
from canvaslm.server.monitor.logs import Log
from canvaslm.server.monitor.metrics import Metrics
from canvaslm.server.routes import (
    chat,
    completions,
    decisions,
    edits,
    embeddings,
    fim,
    health,
    infill,
    metrics,
    models,
    page,
    responses,
    systemone,
    tokenize,
)
from canvaslm.server.service import Service

ROUTES = (
    *(health, models, metrics, chat, completions, responses, fim, infill),
    *(edits, decisions, systemone, tokenize, embeddings, page),
)
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request cannot be served as it is"},
    401: {"model": ErrorBody, "description": "No API key, or one that is not known"},
    403: {"model": ErrorBody, "description": "Asked by a page or under a name that may not"},
    404: {"model": ErrorBody, "description": "No such model or address"},
    408: {"model": ErrorBody, "description": "The body did not arrive in time"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    429: {"model": ErrorBody, "description": "Overloaded; Retry-After says when to come again"},
    500: {"model": ErrorBody, "description": "The server failed; its log says why"},
    503: {"model": ErrorBody, "description": "Loading or stopping; Retry-After says when"},
    504: {"model": ErrorBody, "description": "The request took too long"},
    "default": {"model": ErrorBody, "description": "Any other error"},
}


class Application(FastAPI):
    """FastAPI, whose document says of errors what this server sends: JSON, whatever else a path
    answers with."""

    def openapi(self) -> dict[str, Any]:
        """The document of /openapi.json."""
        document = super().openapi()
        for methods in document["paths"].values():
            for operation in methods.values():
                for status, response in operation["responses"].items():
                    if not status.startswith("2"):
                        schemas = list(response.get("content", {}).values())
                        response["content"] = {"application/json": schemas[0]}
        return document


def create_app(service: Service, *, log: Log | None = None) -> FastAPI:
    """The server's application. `log` is silent unless one is given."""
    app = Application(
        title="canvaslm",
        version=version("canvaslm"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=ERRORS,
    )
    settings = service.settings
    app.state.service = service
    app.state.keys = Keys(settings.keys)
    app.state.metrics = Metrics(service)
    app.state.web = page.web()
    for kind in (ApiError, CanvasError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer_error)
    for module in ROUTES:
        app.include_router(module.router)
    # The last one added is the first one passed.
    app.add_middleware(Bodies, settings=settings)
    app.add_middleware(Authorised, keys=app.state.keys)
    app.add_middleware(Origins, settings=settings)
    app.add_middleware(Caught)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    accounts = Accounts(metrics=app.state.metrics, log=log)
    app.add_middleware(Entrance, account=accounts.close)
    return app


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """An expected error as a response."""
    return note(request.scope, error).response()
