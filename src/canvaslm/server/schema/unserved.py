"""A field that is known elsewhere, and refused here by its name."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError


def refuse(value: object) -> None:
    if value is not None:
        raise PydanticCustomError("unserved", "this is not served here: leave it out")


Unserved = Annotated[
    None,
    BeforeValidator(refuse),
    WithJsonSchema({"type": "null"}),
    Field(description="Not served: refused unless null."),
]
