"""`POST /v1/embeddings`: said clearly that there are none."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter

from canvaslm.server.errors import ApiError, ErrorBody

router = APIRouter(tags=["not served"])


@router.post(
    "/v1/embeddings",
    status_code=404,
    response_model=ErrorBody,
    response_description="This model makes no embeddings",
)
async def embeddings() -> NoReturn:
    """Always refused: this model makes no embeddings.

    To compare or sort texts ask it typed questions, at /v1/decisions.
    """
    raise ApiError(
        "this model makes no embeddings: ask it typed questions about texts at /v1/decisions, or "
        "use a model made for embeddings",
        status=404,
        kind="not_found_error",
        code="not_supported",
    )
