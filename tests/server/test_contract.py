"""The OpenAPI document is true: no request of any kind makes the server fail, and every response is
one that the document describes."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
LENGTHS = {
    "/v1/chat/completions": "max_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/fim/completions": "max_tokens",
    "/infill": "n_predict",
}
RANGES = {
    **dict.fromkeys(("max_completion_tokens", *LENGTHS.values()), (1, 4)),
    "max_steps": (1, 2),
    "n": (1, 2),
    "top_k": (1, 50),
    "temperature": (0.01, 100),
    "top_p": (0.01, 1),
    "min_p": (0, 1),
    "entropy_bound": (0.01, 10),
    "repetition_penalty": (0.5, 2),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
"""What answers soon, and is not refused at once: so tests reach further than the first check."""
LENIENT = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def operations() -> list[tuple[str, str]]:
    """(path, method) of each operation in the document."""
    paths = create_app(Service(settings=Settings())).openapi()["paths"]
    return [(path, method) for path, methods in paths.items() for method in methods]


@pytest.fixture(scope="module")
def document(engine: Engine) -> Any:
    """The document of the application, which answers under the name that the client calls it by."""
    app = create_app(Service(settings=Settings(hosts=("testserver",)), engine=engine))
    config = schemathesis.Config.from_dict({"generation": {"allow-x00": False}})
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


def examine(document: Any, path: str, method: str, *, examples: int) -> None:
    operation = document[path][method.upper()]
    for mode in GenerationMode:
        try:
            cases = operation.as_strategy(generation_mode=mode)

            @settings(max_examples=examples, suppress_health_check=LENIENT)
            @given(case=cases)
            def check(case: schemathesis.Case) -> None:
                make_small(case)
                case.call_and_validate(checks=CHECKS)

            check()
        except Unsatisfiable:  # what has no input cannot be wrong
            assert mode is GenerationMode.NEGATIVE


@pytest.mark.parametrize(("path", "method"), operations())
def test_the_document_is_true(document: Any, path: str, method: str) -> None:
    examine(document, path, method, examples=4)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), operations())
def test_the_document_is_true_more_often(document: Any, path: str, method: str) -> None:
    examine(document, path, method, examples=150)


def make_small(case: schemathesis.Case) -> None:
    """Let what the document allows be answered soon, by the model that is here."""
    meta, body = case.meta, case.body
    if not isinstance(body, dict) or meta is None:
        return
    if meta.generation.mode is not GenerationMode.POSITIVE:
        return
    body.pop("model", None)
    if case.path in LENGTHS:
        body.setdefault(LENGTHS[case.path], 4)
        if body.get("mode") != "ar" and case.path != "/infill":
            body.setdefault("max_steps", 2)
    for item in body["input"] if isinstance(body.get("input"), list) else ():
        if "arguments" in item:
            item["arguments"] = "{}"
    if isinstance(body.get("prompt"), list):
        body["prompt"] = body["prompt"][:2]
    if not body.get("stream"):
        body.pop("stream_options", None)
        body.pop("canvas_events", None)
    for name, (least, most) in RANGES.items():
        given = body.get(name)
        if isinstance(given, int | float) and not isinstance(given, bool):
            body[name] = min(max(given, least), most)
