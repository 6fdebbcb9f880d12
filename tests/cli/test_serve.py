"""`canvaslm serve`: what it refuses before it listens, and what it calls a model."""

import socket
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from canvaslm.cli.serve import missing_extra
from canvaslm.cli.serve_options import Served


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "70000"), "port"),
        (("--cors-origin", "example.org"), "origin"),
        (("--cors-origin", "https://example.org/path"), "origin"),
        (("--max-active", "0"), "active"),
        (("--max-body", "0"), "body"),
        (("--timeout", "0"), "wait"),
        (("--drain", "-1"), "drain"),
        (("--api-key-file", "/nowhere/keys"), "/nowhere/keys"),
        (("--host", "256.0.0.1"), "256.0.0.1"),
        (("--name", ""), "name"),
        (("--adapter", "law"), "NAME=FOLDER"),
        (("--adapter", "law=/nowhere"), "/nowhere"),
        (("--adapter", "a:b=."), "colon"),
        (("--adapter", "a=.", "--adapter", "a=."), "twice"),
        (("--adapter", "pocket=."), "pocket"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(run: Run, options: tuple[str, ...], said: str) -> None:
    done = run("serve", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_what_cannot_be_loaded_ends_it_with_the_reason(run: Run, tmp_path: Path) -> None:
    done = run("serve", tmp_path / "nothing", "--port", "0")
    assert (done.code, done.out) == (2, "")
    assert "listening on http://127.0.0.1:" in done.err
    assert done.err.splitlines()[-1].startswith("canvaslm: ")
    assert "nothing" in done.err.splitlines()[-1]


def test_an_adapter_that_cannot_be_read_ends_it_with_the_reason(run: Run, tmp_path: Path) -> None:
    done = run("serve", "--port", "0", "--adapter", f"mine={tmp_path}")
    assert (done.code, done.out) == (2, "")
    assert "adapter_config.json" in done.err.splitlines()[-1]


def test_a_port_that_is_taken_is_said(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port)
    assert done.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in done.err


def test_a_bad_key_in_the_environment_is_refused_unseen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANVASLM_API_KEYS", "a-good-long-key,tiny")
    done = run("serve")
    assert done.code == 2
    assert "CANVASLM_API_KEYS: key 2" in done.err
    assert "tiny" not in done.err


def test_a_model_goes_by_its_folder_and_by_what_was_typed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    typed = str(tmp_path / "mine" / "..") + "/mine"
    assert Served().names == ("canvaslm-pocket", "pocket")
    assert Served(model=typed).names == ("mine", typed)
    assert Served(model="org/model").names == ("model", "org/model")


@pytest.mark.parametrize("name", ["fastapi", "uvicorn.protocols", "prometheus_client", "greenlet"])
def test_a_missing_extra_says_how_to_install_it(name: str) -> None:
    error = missing_extra(ModuleNotFoundError(name=name))
    assert "pip install 'canvaslm[server]'" in str(error)


def test_another_missing_module_is_what_it_is() -> None:
    missing = ModuleNotFoundError(name="canvaslm.server.typo")
    assert missing_extra(missing) is missing


def test_a_log_that_cannot_be_begun_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("serve", "--port", 0, "--log-file", tmp_path / "nowhere" / "log")
    assert done.code == 2
    assert "choose another --log-file" in done.err
    assert not list(tmp_path.iterdir())
