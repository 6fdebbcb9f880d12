"""The generated parts of docs/http.md: nothing that the server knows is left out."""

import ast
from typing import Any

import pytest
from tools.http_page import (
    body_of,
    body_rows,
    document,
    endpoints,
    errors,
    kind,
    limits,
    metrics,
    operations,
    parameters,
    plain,
    refusals,
    sentence,
    table,
)

from canvaslm.server.app import ERRORS
from canvaslm.server.monitor.metrics import Metrics
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings


def test_every_endpoint_and_field_stands_there() -> None:
    shown, listed = parameters(), endpoints()
    for method, path, operation in operations():
        assert f"`{method} {path}`" in listed
        schema = body_of(operation)
        if schema is None:
            continue
        assert f"### `{path}`" in shown
        section = shown.split(f"### `{path}`\n")[1].split("\n### ")[0]
        common = shown.split("\n### ")[0]
        for name, *_ in body_rows(schema):
            assert f"`{name}`" in section + common


def test_every_object_of_a_body_has_its_fields() -> None:
    shown = parameters()
    schemas = document()["components"]["schemas"]
    for name in ("Tool", "AssistantCall", "Predicate", "NamedScore", "Extra", "StreamOptions"):
        assert f"**{name}**" in shown
        for field in schemas[name]["properties"]:
            assert f"`{field}`" in shown


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 20}, "integer 1 to 20"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number above 0, to 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string"),
        ({"type": "integer", "maximum": 2**63}, "integer"),
        ({"enum": ["a", None]}, '`"a"`'),
        ({"const": False}, "`false`"),
        ({"type": "null"}, "null"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "list"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object of string"),
        ({"$ref": "#/components/schemas/a__b__Tool-Input"}, "Tool"),
        ({}, "any JSON"),
    ],
)
def test_types_are_words(field: dict[str, Any], said: str) -> None:
    assert kind(field).startswith(said)
    if said == "list":
        assert kind(field) == "list of (string or integer)"


def test_each_status_has_its_codes() -> None:
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in errors().splitlines()}
    for status in ERRORS:
        assert status == "default" or any(head.split()[0] == str(status) for head in lines)
    assert "`overloaded`" in lines["429 with `Retry-After`"]
    assert "`model_not_found`" in lines["404"]
    assert "`context_length_exceeded`" in lines["400"]


def test_errors_are_found_in_source() -> None:
    source = (
        'raise ApiError("a", status=413, kind="k", code="c")\nunavailable("b", code="d")\n'
        'raise ApiError("plain", param="x")\nraise ApiError("e", status=number)\n'
    )
    assert list(refusals(ast.parse(source))) == [
        (413, "k", {"c"}),
        (503, "server_error", {"d"}),
        (400, "invalid_request_error", set()),
    ]


def test_every_metric_that_is_exported_is_explained() -> None:
    shown = metrics()
    names = {
        line.split()[2]
        for line in Metrics(Service(settings=Settings())).text().decode().splitlines()
        if line.startswith("# HELP canvaslm_")
    }
    assert len(names) > 5
    for name in names:
        assert f"`{name.removesuffix('_created')}" in shown


def test_limits_are_those_of_the_settings() -> None:
    shown = limits()
    assert f"| `body` | {Settings().body:,} | largest body, in bytes |" in shown
    assert "| `active` |" in shown


def test_cells_are_read_as_they_stand() -> None:
    assert plain("a|b <c>") == "a\\|b \\<c>"
    assert plain("`<c>`") == "`<c>`"
    assert table(("name", "b"), [("x", "y")]) == "| name | b |\n|---|---|\n| `x` | y |"
    assert sentence("One thing. Another.\n\nMore.") == "One thing."
