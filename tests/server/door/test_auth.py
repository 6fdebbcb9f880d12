"""Who may ask: keys are compared whole, read all or none, and never shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.conftest import Server, serving

from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError
from canvaslm.server.app import create_app
from canvaslm.server.door.auth import Keys, read_key_file, read_keys
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

KEYS = ("first-secret-key", "second-secret-key")


@pytest.fixture(scope="module")
def locked(engine: Engine) -> Iterator[Server]:
    """A server that wants a key."""
    service = Service(settings=Settings(keys=KEYS), engine=engine)
    with serving(create_app(service)) as server:
        yield server


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "header", ["Authorization: Bearer {}", "authorization:bearer  {}", "x-api-key: {}"]
)
def test_every_key_opens_in_both_headers(locked: Server, key: str, header: str) -> None:
    name, _, value = header.format(key).partition(":")
    with locked.client() as client:
        assert client.get("/v1/models", headers={name: value.strip()}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer first-secret-ke"},
        {"Authorization": "Bearer first-secret-keyy"},
        {"Authorization": "Basic first-secret-key"},
        {"Authorization": "Bearer"},
        {"Authorization": "first-secret-key"},
        {"X-API-Key": ""},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/nowhere", "/web"])
def test_without_a_key_nothing_else_is_open(
    locked: Server, path: str, headers: dict[str, str]
) -> None:
    with locked.client() as client:
        got = client.get(path, headers=headers)
    assert got.status_code == 401
    assert got.headers["www-authenticate"] == "Bearer"
    error = got.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert not any(key[:12] in got.text for key in KEYS)


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/web/index.html"])
def test_the_page_and_the_probes_are_open(locked: Server, path: str) -> None:
    with locked.client() as client:
        assert client.get(path).status_code == 200


def test_a_body_is_not_even_read_without_a_key(locked: Server) -> None:
    with locked.client() as client:
        got = client.post("/v1/chat/completions", content=b"[" * 100_000)
    assert got.status_code == 401


def test_a_client_is_known_by_a_fingerprint_that_is_not_the_key() -> None:
    keys = Keys(KEYS)
    prints = {keys.fingerprint(key) for key in KEYS}
    assert len(prints) == 2
    assert not any(key[:6] in str(prints) for key in KEYS)
    assert keys.fingerprint("third-secret-key") is None
    assert keys.fingerprint("k\udcffy") is None


def test_keys_never_stand_in_a_representation() -> None:
    assert "secret" not in repr(Settings(keys=KEYS)) + repr(vars(Keys(KEYS)))


def test_a_key_file_has_comments_and_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\n\n  first-secret-key  \nsecond-secret-key\nfirst-secret-key\n")
    assert read_key_file(file) == KEYS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# none\n",
        b"first-secret-key\nshort\n",
        b"has a space\n",
        b"\xff\xfe\x00",
        "schlüsselchen\n".encode(),
    ],
)
def test_a_key_file_is_taken_whole_or_not_at_all(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ParameterError) as refused:
        read_key_file(file)
    assert str(file) in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="keys cannot be read"):
        read_key_file(tmp_path / "keys")


def test_no_keys_at_all_leave_it_open() -> None:
    assert len(Keys(read_keys([], source="nothing"))) == 0
