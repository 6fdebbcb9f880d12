"""`/v1/models`: the model that is served, and itself with each of its adapters."""

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
    return Models(data=[describe(service, id) for id in service.settings.models])


@router.get("/v1/models/{model:path}")
async def model(model: str, service: ServiceDep) -> Model:
    """One of them, by its id or another of its names."""
    return describe(service, service.check_model(model))


def describe(service: Service, id: str) -> Model:
    config = service.lm.config
    return Model(
        id=id,
        created=service.created,
        context_length=config.max_positions,
        canvas_length=config.canvas_length,
    )
