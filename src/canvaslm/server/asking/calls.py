"""Calls of tools that stand in a conversation: their arguments, and which call an output is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from canvaslm.server.errors import ApiError
from canvaslm.server.schema.common import check_plain


def read_arguments(text: str, *, place: int) -> dict[str, Any]:
    """The arguments of the call at this place of the input; none where the text is empty.

    Raises ApiError for what is not the JSON text of an object.
    """
    try:
        arguments = json.loads(text or "{}")
        check_plain(arguments)
    except (ValueError, RecursionError, ApiError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ApiError(
            f"input.{place}.arguments is not the JSON text of an object: give one",
            param=f"input.{place}.arguments",
        )
    return arguments


def name_of(call_id: str, names: Mapping[str, str], *, place: int) -> str:
    """What the call with this id was of. Raises ApiError if there was none before."""
    name = names.get(call_id)
    if name is None:
        raise ApiError(
            f"input.{place}.call_id is {call_id[:40]!r}, and no call before it has that id: give "
            "the call first",
            param=f"input.{place}.call_id",
        )
    return name
