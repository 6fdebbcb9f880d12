"""bench/serve.py and bench/soak.py: what they count, and that they see what must not be."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    assert str(BENCH) in sys.path


def test_jains_index_is_one_where_all_have_the_same_and_one_over_n_where_one_has_all() -> None:
    from serve_load import fairness

    assert fairness([3, 3, 3, 3]) == {"jain": 1.0, "least_over_most": 1.0}
    assert fairness([8, 0, 0, 0]) == {"jain": 0.25, "least_over_most": 0.0}


def test_percentiles_are_values_that_were_measured() -> None:
    from serve_load import percentiles

    found = percentiles([n / 1000 for n in range(1, 101)])
    assert found == {"p50": 51, "p95": 96, "p99": 100, "most": 100, "count": 100}
    assert percentiles([]) is None


def test_answers_are_compared_without_ids_and_with_a_little_room_for_fractions() -> None:
    from soak_requests import plain, same

    one = {"id": "a", "probability": 0.5, "texts": ["x", 1]}
    assert same(plain(one), plain(one | {"id": "b", "probability": 0.5002}))
    assert not same(plain(one), plain(one | {"probability": 0.52}))
    assert not same(plain(one), plain(one | {"texts": ["x", 2]}))


def test_a_stream_says_what_the_whole_answer_says() -> None:
    from soak_requests import said, streamed

    path, usage = "/v1/chat/completions", {"completion_tokens": 2, "steps": 1}
    choice = {"index": 0, "message": {"content": "red"}, "finish_reason": "stop"}
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}
        for text, end in (("re", None), ("d", None), (None, "stop"))
    ]
    events = [*chunks, {"choices": [], "usage": usage}, None]
    assert streamed(path, events) == said(path, {"choices": [choice], "usage": usage})
    with pytest.raises(ValueError, match="DONE"):
        streamed(path, events[:-1])


CALM: dict[str, Any] = {
    "minutes": 30,
    "outcomes": {"chat": {"right": 5, "429": 1}, "mistake: nowhere": {"404": 2}},
    "package": {"asked": 1, "right": 1},
    "before": {"files": 8},
    "after": {"pages": 3, "cache_pages": 3, "files": 8, "at_work": 0},
    "memory_growth_percent": 0.4,
    "complaints": [],
    "stopped": {"exit_code": 143, "outcomes": {"right": 1, "503": 1, "error event: stopping": 1}},
    "again": {"asked": 2, "right": 2},
}


def test_a_calm_run_breaks_nothing() -> None:
    from soak_musts import musts

    assert all(must.held for must in musts(CALM))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("outcomes", "chat", "wrong"), 1),
        (("outcomes", "chat", "stuck"), 1),
        (("outcomes", "chat", "500"), 1),
        (("outcomes", "chat", "cut"), 1),
        (("outcomes", "chat", "error event: server_error"), 1),
        (("outcomes", "mistake: nowhere", "unexpected 200"), 1),
        (("outcomes", "fim"), {"429": 9}),
        (("after", "pages"), 4),
        (("after", "files"), 9),
        (("memory_growth_percent",), 2.1),
        (("complaints",), ["Traceback"]),
        (("stopped", "exit_code"), None),
        (("stopped", "outcomes", "cut"), 1),
        (("again", "right"), 1),
    ],
)
def test_whatever_must_not_be_is_seen(place: tuple[str, ...], value: object) -> None:
    from soak_musts import musts

    found = copy.deepcopy(CALM)
    here: dict[str, Any] = found
    for name in place[:-1]:
        here = here[name]
    here[place[-1]] = value
    assert sum(not must.held for must in musts(found)) == 1
