"""The application as a whole: probes, models, the page, and a document true to behaviour."""

import httpx
import pytest
from fastapi import FastAPI

from canvaslm.server.errors import ApiError
from canvaslm.server.routes.page import web
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings


def test_it_lives(client: httpx.Client) -> None:
    for path in ("/health", "/ready"):
        got = client.get(path)
        assert (got.status_code, got.json()) == (200, {"status": "ok"})


def test_one_model_is_served_under_each_of_its_names(client: httpx.Client) -> None:
    (listed,) = client.get("/v1/models").json()["data"]
    assert listed["id"] == "canvaslm-pocket"
    for name in ("canvaslm-pocket", "default"):
        assert client.get(f"/v1/models/{name}").json() == listed


@pytest.mark.parametrize("name", ["gpt-5", "CANVASLM-POCKET", "a/b", "../canvaslm-pocket", "%00"])
def test_another_model_is_not_found(client: httpx.Client, name: str) -> None:
    got = client.get(f"/v1/models/{name}")
    assert got.status_code == 404
    assert got.json()["error"]["code"] in ("model_not_found", "not_found")


def test_a_model_goes_by_its_aliases(service: Service) -> None:
    named = Service(settings=Settings(name="mine", aliases=("folder",)))
    assert [named.check_model(name) for name in ("mine", "folder", "default", None)] == ["mine"] * 4
    with pytest.raises(ApiError) as refused:
        named.check_model("x" * 100_000)
    assert len(refused.value.message) < 300


def test_the_page_is_served_from_memory(client: httpx.Client) -> None:
    first = client.get("/")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.text == client.get("/web/index.html").text
    for name, file in web().items():
        got = client.get(f"/web/{name}")
        assert (got.status_code, got.content) == (200, file.body)
        assert got.headers["cache-control"] == "no-cache"
        again = client.get(f"/web/{name}", headers={"If-None-Match": got.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "__init__.py", "", "a%00.js", "."],
)
def test_no_path_reaches_the_disk(client: httpx.Client, name: str) -> None:
    got = client.get(httpx.URL(str(client.base_url) + "/web/" + name))
    assert got.status_code == 404 or got.text == client.get("/").text
    assert "root:" not in got.text


def test_the_document_promises_no_422_and_names_the_error(app: FastAPI) -> None:
    document = app.openapi()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert "422" not in operation["responses"], (path, method)
            refused = operation["responses"]["400"]["content"]["application/json"]["schema"]
            assert refused == {"$ref": "#/components/schemas/ErrorBody"}


def test_the_document_is_there_and_no_page_that_loads_from_elsewhere(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "canvaslm"
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
