"""Each error has its status, in OpenAI's shape, and says nothing of the inside."""

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from tests.server.conftest import serving

from canvaslm import errors
from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.errors import ApiError, ErrorBody, api_error
from canvaslm.server.service import CallerDep, Service, ServiceDep
from canvaslm.server.settings import Settings

ASKED = b'{"messages": [{"role": "user", "content": "hello"}]'
CASES = [
    (
        errors.ParameterError("max_tokens must be at least 1, got 0"),
        400,
        "max_tokens",
        "invalid_value",
    ),
    (errors.ParameterError("a stream is of one answer"), 400, None, None),
    (errors.ContextLengthError("9000 tokens do not fit"), 400, None, "context_length_exceeded"),
    (errors.ConstraintError("constraint: no"), 400, "constraint", "invalid_constraint"),
    (errors.TemplateError("roles must alternate"), 400, "messages", "invalid_value"),
    (errors.MissingTokenizerError("no tokenizer"), 400, None, "no_tokenizer"),
    (RecursionError("maximum recursion depth"), 400, None, "too_deep"),
    (errors.OverloadedError("full", retry_after=2.3), 429, None, "overloaded"),
    (errors.DeadlineError("late"), 504, None, "deadline_exceeded"),
    (errors.StoppedError("stopping"), 503, None, "stopping"),
    (errors.RequestCancelledError("the server was told to stop"), 503, None, "stopping"),
    (errors.RequestCancelledError("the client went away"), 499, None, "cancelled"),
    (errors.OutOfMemoryError("12 GB at 0x7f"), 503, None, "out_of_memory"),
    (MemoryError(), 503, None, "out_of_memory"),
    (errors.TaskError("/home/x"), 500, None, "internal_error"),
    (KeyError("secret"), 500, None, "internal_error"),
    (HTTPException(404), 404, None, "not_found"),
    (HTTPException(405, headers={"Allow": "GET"}), 405, None, "method_not_allowed"),
    (ApiError("as it is", status=418, code="teapot"), 418, None, "teapot"),
]


@pytest.mark.parametrize(("error", "status", "param", "code"), CASES, ids=lambda case: repr(case))
def test_an_error_has_its_status(
    error: Exception, status: int, param: str | None, code: str | None
) -> None:
    told = api_error(error, request_id="req-1")
    assert (told.status, told.param, told.code) == (status, param, code)
    ErrorBody.model_validate(told.body(), strict=True)


@pytest.mark.parametrize("error", [error for error, status, *_ in CASES if status in (429, 503)])
def test_what_may_go_later_says_when(error: Exception) -> None:
    assert int(api_error(error).headers["Retry-After"]) >= 1


def test_a_bug_tells_its_number_and_nothing_else() -> None:
    message = api_error(KeyError("secret"), request_id="req-1").message
    assert "req-1" in message
    assert "secret" not in message


@pytest.fixture(scope="module")
def broken(engine: Engine) -> FastAPI:
    """Endpoints that fail in every way."""
    app = create_app(Service(settings=Settings(), engine=engine))

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("secret")

    @app.get("/work")
    async def work(service: ServiceDep, caller: CallerDep) -> list[object]:
        return await service.gather(lambda lm: [1 // 0], caller)

    @app.get("/number/{number}")
    async def number(number: int, most: int = 3) -> int:
        return number

    return app


def test_bugs_anywhere_are_500_in_the_shape(broken: FastAPI) -> None:
    with serving(broken) as server, server.client() as client:
        for path in ("/bug", "/work"):
            got = client.get(path)
            assert got.status_code == 500
            assert got.json()["error"]["code"] == "internal_error"
            assert got.headers["x-request-id"] in got.text
            assert "secret" not in got.text
        metrics = client.get("/metrics").text
        assert 'canvaslm_errors_total{code="internal_error"} 2.0' in metrics


@pytest.mark.parametrize(("path", "param"), [("/number/x", "number"), ("/number/1?most=x", "most")])
def test_what_is_no_number_is_400_and_named(broken: FastAPI, path: str, param: str) -> None:
    with serving(broken) as server, server.client() as client:
        got = client.get(path)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)


def test_nothing_here_and_wrong_methods_have_the_shape(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/x", 404),
        ("DELETE", "/health", 405),
        ("GET", "/v1/chat/completions", 405),
    ):
        got = client.request(method, path)
        assert got.status_code == status
        ErrorBody.model_validate(got.json(), strict=True)


@pytest.mark.parametrize(
    ("content", "kind", "param", "code"),
    [
        (
            ASKED + b', "frobnicate": 1}',
            "application/json",
            "frobnicate",
            "unknown_parameter",
        ),
        (
            ASKED + b', "' + b"x" * 5000 + b'": 1}',
            "application/json",
            None,
            "unknown_parameter",
        ),
        (b"{}", "application/json", "messages", "missing_parameter"),
        (b"[]", "application/json", None, "invalid_body"),
        (b"{}", "text/plain", None, "invalid_body"),
        (b"", "application/json", None, "invalid_body"),
        (b"{", "application/json", None, "invalid_json"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(
    client: httpx.Client, content: bytes, kind: str, param: str | None, code: str
) -> None:
    got = client.post("/v1/chat/completions", content=content, headers={"Content-Type": kind})
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (400, code)
    assert param is None or error["param"] == param
    assert len(error["message"]) < 1000
