"""`/metrics`: what was asked is what is counted."""

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import Server, serving

from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

CHAT = "/v1/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "a red circle"}], "max_tokens": 8, "seed": 3}


@pytest.fixture
def counted(engine: Engine) -> Iterator[Server]:
    """A server that has counted nothing yet."""
    with serving(create_app(Service(settings=Settings(), engine=engine))) as server:
        yield server


def read(client: httpx.Client) -> dict[str, float]:
    """Values by name, labels included."""
    got = client.get("/metrics")
    assert got.headers["content-type"].startswith("text/plain")
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(got.text)
        for sample in family.samples
    }


def test_requests_tokens_and_passes_are_counted(counted: Server) -> None:
    with counted.client() as client:
        before = read(client)
        usage = client.post(CHAT, json=ASKED).json()["usage"]
        with client.stream("POST", CHAT, json={**ASKED, "stream": True}) as got:
            got.read()
        client.post(CHAT, json={**ASKED, "max_tokens": 0})
        client.get("/made-up-by-a-client")
        after = read(client)
    assert after[f"canvaslm_requests_total route={CHAT} status=200"] == 2
    assert after[f"canvaslm_requests_total route={CHAT} status=400"] == 1
    assert after["canvaslm_requests_total route=none status=404"] == 1
    assert after["canvaslm_tokens_total"] == 2 * usage["completion_tokens"]
    assert after["canvaslm_prompt_tokens_total"] == 2 * usage["prompt_tokens"]
    for name in ("first_text_seconds", "steps_per_canvas", "tokens_per_forward"):
        assert after[f"canvaslm_{name}_count"] == 2
    assert after["canvaslm_steps_per_canvas_sum"] == 2 * usage["steps"] / usage["canvases"]
    assert after["canvaslm_passes_total"] > before["canvaslm_passes_total"]
    finished = "canvaslm_engine_requests_total outcome=finished"
    assert after[finished] - before[finished] == 2
    assert after["canvaslm_ready"] == 1
    assert after["canvaslm_active"] == after["canvaslm_queue_length"] == 0
    assert "made-up" not in str(after)


@pytest.mark.parametrize(
    "name",
    [
        "canvaslm_cache_hit_tokens_total",
        "canvaslm_cache_miss_tokens_total",
        "canvaslm_cache_evictions_total",
        "canvaslm_cache_pages",
        "canvaslm_pages",
        "canvaslm_mean_rows",
        "canvaslm_pass_rows_total",
        "process_resident_memory_bytes",
    ],
)
def test_what_the_engine_counts_is_there(client: httpx.Client, name: str) -> None:
    assert name in read(client)
