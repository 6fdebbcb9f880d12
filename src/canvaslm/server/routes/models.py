"""`/v1/models`: the one model that is served."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from canvaslm.server.service import Service, ServiceDep

router = APIRouter()


class Model(BaseModel):
    """A model; the fields after `owned_by` are this server's own."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["canvaslm"] = "canvaslm"
    context_length: int
    canvas_length: int


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models")
async def models(service: ServiceDep) -> Models:
    """The models that requests may name."""
    return Models(data=[describe(service)])


@router.get("/v1/models/{model:path}")
async def model(model: str, service: ServiceDep) -> Model:
    """One of them, by its id or another of its names."""
    service.check_model(model)
    return describe(service)


def describe(service: Service) -> Model:
    config = service.lm.config
    return Model(
        id=service.name,
        created=service.created,
        context_length=config.max_positions,
        canvas_length=config.canvas_length,
    )
