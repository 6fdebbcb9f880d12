"""`/v1/embeddings` is refused in a way that clients understand and do not repeat."""

from typing import Any

import openai
import pytest


def test_real_client_is_told_that_there_are_none(server: Any) -> None:
    with (
        openai.OpenAI(base_url=server.base_url + "/v1", api_key="none") as client,
        pytest.raises(openai.NotFoundError, match="/v1/decisions") as found,
    ):
        client.embeddings.create(model="default", input="a text")
    assert found.value.code == "not_supported"


def test_the_document_says_so(client: Any) -> None:
    described = client.get("/openapi.json").json()["paths"]["/v1/embeddings"]["post"]
    assert "200" not in described["responses"]
    assert "404" in described["responses"]
