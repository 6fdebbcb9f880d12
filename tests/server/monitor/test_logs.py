"""The log: lines of JSON without texts, and nothing that breaks a request."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.server.conftest import serving

from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError
from canvaslm.server.app import create_app
from canvaslm.server.monitor.logs import Log
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

SECRET_KEY = "a-secret-key-of-ours"
ASKED = {"messages": [{"role": "user", "content": "a red circle"}], "max_tokens": 8, "seed": 3}
CHAT = "/v1/chat/completions"

Ask = Callable[[httpx.Client], httpx.Response]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(
    engine: Engine, path: Path, *, log_prompts: bool = False, level: str = "info"
) -> list[dict[str, object]]:
    """What is written of a good request, one that is refused, one without a key, and a probe."""
    settings = Settings(keys=(SECRET_KEY,), log_prompts=log_prompts)
    log = Log(path=path, level=level)
    app = create_app(Service(settings=settings, engine=engine), log=log)
    key = {"Authorization": f"Bearer {SECRET_KEY}"}
    with serving(app) as server, server.client() as client:
        client.post(CHAT, json=ASKED, headers={**key, "X-Request-Id": "mine"})
        client.post(CHAT, json={**ASKED, "max_tokens": 0}, headers=key)
        client.get("/v1/models/private-name")
        client.get("/health")
    log.close()
    return lines(path)


def test_a_line_says_what_a_request_took_and_not_what_it_said(
    engine: Engine, tmp_path: Path
) -> None:
    good, bad, stranger = logged(engine, tmp_path / "log")
    assert good["id"] == "mine"
    assert (good["method"], good["route"], good["status"]) == ("POST", CHAT, 200)
    assert 1 <= int(str(good["tokens"])) <= 8
    assert int(str(good["steps"])) >= 1
    assert 0 < float(str(good["first_ms"])) <= float(str(good["ms"]))
    assert str(good["client"]).startswith("key-")
    assert (bad["status"], bad["client"]) == (400, good["client"])
    assert (stranger["status"], stranger["error"]) == (401, "invalid_api_key")
    text = (tmp_path / "log").read_text()
    for word in ("circle", SECRET_KEY, "private-name"):
        assert word not in text


def test_prompts_are_logged_when_asked_for_and_keys_never(engine: Engine, tmp_path: Path) -> None:
    good, *_ = logged(engine, tmp_path / "log", log_prompts=True)
    assert json.loads(str(good["body"])) == ASKED
    assert SECRET_KEY not in (tmp_path / "log").read_text()


def test_probes_are_logged_at_debug_only(engine: Engine, tmp_path: Path) -> None:
    assert [line["route"] for line in logged(engine, tmp_path / "log", level="debug")][3:] == [
        "/health"
    ]


def test_a_bug_leaves_its_trace_in_the_log(engine: Engine, tmp_path: Path) -> None:
    log = Log(path=tmp_path / "log")
    app = create_app(Service(settings=Settings(), engine=engine), log=log)

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("inner detail")

    with serving(app) as server, server.client() as client:
        client.get("/bug")
    log.close()
    (line,) = lines(tmp_path / "log")
    assert (line["level"], line["error"]) == ("error", "internal_error")
    assert "inner detail" in str(line["trace"])


def test_a_full_disk_warns_once_and_breaks_nothing(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log(path=Path("/dev/full"))
    app = create_app(Service(settings=Settings(), engine=engine), log=log)
    with serving(app) as server, server.client() as client:
        for _ in range(3):
            assert client.get("/v1/models").status_code == 200
    log.close()
    assert capfd.readouterr().err.count("cannot be written") == 1


def test_a_folder_that_is_not_there_is_no_reason_to_stop(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log(path=tmp_path / "later" / "log")
    log.write("one")
    log.write("two")
    assert capfd.readouterr().err.count("cannot be written") == 1
    (tmp_path / "later").mkdir()
    log.write("three")
    log.close()
    assert [line["event"] for line in lines(tmp_path / "later" / "log")] == ["three"]


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(path=path, clock=lambda: datetime(2026, 11, 21, tzinfo=UTC))
    log.write("one", nothing=None, strange=Path("x"))
    path.rename(tmp_path / "old")
    log.reopen()
    log.write("two")
    log.close()
    (line,) = lines(tmp_path / "old")
    assert line == {
        "time": "2026-11-21T00:00:00.000+00:00",
        "level": "info",
        "event": "one",
        "strange": "x",
    }
    assert [line["event"] for line in lines(path)] == ["two"]


def test_texts_cannot_break_lines(tmp_path: Path) -> None:
    log = Log(path=tmp_path / "log")
    log.write("one", text='a\nb\r\u2028"\ud800\x1b[0m')
    log.close()
    assert len((tmp_path / "log").read_bytes().splitlines()) == 1
    assert b"\x1b" not in (tmp_path / "log").read_bytes()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ParameterError, match="level"):
        Log(level="loud")
