"""Errors in OpenAI's shape, and which status each of this package's errors has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from canvaslm.engine.params import Params
from canvaslm.errors import (
    ConstraintError,
    ContextLengthError,
    DeadlineError,
    MissingTokenizerError,
    OverloadedError,
    ParameterError,
    RequestCancelledError,
    StoppedError,
    TemplateError,
)

CODES = {
    ContextLengthError: "context_length_exceeded",
    ConstraintError: "invalid_constraint",
    MissingTokenizerError: "no_tokenizer",
}
CLIENT_GONE = 499  # nginx's number: only logs see it
UNEXPECTED = "internal_error"
SOON = 5
LONGEST_NAME = 200
MOST = 100
FIELDS = {f.name for f in fields(Params)} | {
    "mode",
    "span",
    "gap",
    "max_gap",
    "strength",
    "instruction",
    "doubt",
    "rounds",
    "orders",
    "method",
    "state",
    "questions",
}


class ErrorDetail(BaseModel):
    """What was wrong, what was expected and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Any response that is not a success."""

    error: ErrorDetail


class ApiError(Exception):
    """A response other than 200. `kind` is OpenAI's "type"."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if code is None and status == 400 and param is not None:
            code = "invalid_value"
        self.message, self.status, self.kind = message, status, kind
        self.param, self.code, self.headers = param, code, dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        """The response's JSON."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        """The response, status and headers included."""
        return JSONResponse(self.body(), status_code=self.status, headers=self.headers)


def unavailable(message: str, *, code: str, after: float = SOON) -> ApiError:
    """The server cannot do it now, but may in `after` seconds."""
    return ApiError(message, status=503, kind="server_error", code=code, headers=retry(after))


def retry(after: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(after)))}


def api_error(error: BaseException, *, request_id: str | None = None) -> ApiError:
    """What a client is told of an error; of one that nobody expected only that it happened."""
    match error:
        case ApiError():
            return error
        case ParameterError() | TemplateError() | MissingTokenizerError():
            return _refused(error)
        case RecursionError():
            return ApiError("the request is nested too deeply: make it flatter", code="too_deep")
        case OverloadedError():
            return ApiError(
                str(error),
                status=429,
                kind="rate_limit_error",
                code="overloaded",
                headers=retry(error.retry_after),
            )
        case DeadlineError():
            return ApiError(str(error), status=504, kind="timeout_error", code="deadline_exceeded")
        case StoppedError():
            return unavailable(str(error), code="stopping")
        case RequestCancelledError():
            return _cancelled(error)
        case MemoryError():  # OutOfMemoryError, too
            return unavailable(
                "the server's memory does not hold this request now: ask for less, or again later",
                code="out_of_memory",
            )
        case RequestValidationError():
            return _invalid(error.errors(), body=error.body)
        case HTTPException():
            return _http(error)
    return _unexpected(request_id)


def _refused(error: ParameterError | TemplateError | MissingTokenizerError) -> ApiError:
    param = "messages" if isinstance(error, TemplateError) else named(str(error))
    return ApiError(str(error), param=param, code=CODES.get(type(error)))


def named(message: str) -> str | None:
    """The parameter that a message begins with."""
    word = re.match(r"[a-z_]+", message)
    return word[0] if word and word[0] in FIELDS else None


def _cancelled(error: RequestCancelledError) -> ApiError:
    if "stop" in str(error):
        return unavailable(str(error), code="stopping")
    return ApiError(str(error), status=CLIENT_GONE, kind="cancelled", code="cancelled")


def _unexpected(request_id: str | None) -> ApiError:
    named = f" and name the request, {request_id}" if request_id else ""
    return ApiError(
        f"the server failed at this request; its log says why: tell who runs it{named}",
        status=500,
        kind="server_error",
        code=UNEXPECTED,
    )


def _invalid(problems: Sequence[Mapping[str, object]], *, body: object) -> ApiError:
    """The first thing that is wrong with a body, by its path."""
    problem, path = worst(problems, body)
    where, *names = path or ["body"]
    said, kind = str(problem.get("msg", "is not valid")), str(problem.get("type", ""))
    if kind == "json_invalid":
        return ApiError(f"the body is not JSON: {said}", code="invalid_json")
    if where == "body" and not names:
        expected = "is missing" if body is None else "must be a JSON object"
        return ApiError(
            f"the body {expected}: send one, and Content-Type: application/json",
            code="invalid_body",
        )
    param = (".".join(names) or where)[:LONGEST_NAME]
    if kind == "extra_forbidden":
        return ApiError(
            f"{param} is not a parameter here: leave it out", param=param, code="unknown_parameter"
        )
    if kind == "missing":
        return ApiError(f"{param} is missing: give it", param=param, code="missing_parameter")
    return ApiError(f"{param}: {readable(said)}", param=param, code="invalid_value")


def worst(
    problems: Sequence[Mapping[str, object]], body: object
) -> tuple[Mapping[str, object], list[str]]:
    """The problem to tell, and its path: of those with the first one's field that which reaches
    deepest, as the parts of a union that do not fit at all fail earlier."""
    found = [(problem, in_document(problem, body)) for problem in problems[:MOST]]
    field = found[0][1][:2]
    return max((one for one in found if one[1][:2] == field), key=lambda one: len(one[1]))


def in_document(problem: Mapping[str, object], body: object) -> list[str]:
    """The path of a problem as the document has it: without the names of a union's parts."""
    loc = problem.get("loc")
    where, *parts = loc if isinstance(loc, tuple) else ("body",)
    kept, here = [str(where)], body
    for place, part in enumerate(parts, start=1):
        if (isinstance(here, Mapping) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            here = here[part]
        elif where == "body" and (problem.get("type") != "missing" or place < len(parts)):
            continue
        kept.append(str(part))
    return kept


def readable(said: str) -> str:
    """Pydantic's sentence without the prefix of errors raised by validators."""
    said = said.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return said[:1].lower() + said[1:]


def _http(error: HTTPException) -> ApiError:
    """What Starlette and FastAPI raise themselves."""
    match error.status_code:
        case 404:
            message, kind, code = "there is nothing at this address", "not_found_error", "not_found"
        case 405:
            message = "this address does not take this method"
            kind, code = "invalid_request_error", "method_not_allowed"
        case _:
            message, kind, code = "the body is not JSON", "invalid_request_error", "invalid_json"
    if error.status_code in (404, 405):
        message += ": /openapi.json lists what there is"
    return ApiError(message, status=error.status_code, kind=kind, code=code, headers=error.headers)
