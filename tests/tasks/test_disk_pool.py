"""The cache saves time and never decides what is read."""

import os
from pathlib import Path

import pytest

from canvaslm.tasks.disk_pool import cache_directory, remembered

LINES = ["one", "two", "dr\u00e9i"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "canvaslm"


def refuse() -> list[str]:
    raise AssertionError("built again")


def test_a_pool_is_built_once(cache: Path) -> None:
    assert remembered("pool", lambda: LINES) == LINES
    assert remembered("pool", refuse) == LINES


def test_nothing_but_the_pool_is_left_behind(cache: Path) -> None:
    remembered("pool", lambda: LINES)
    assert [path.name for path in cache.iterdir()] == ["pool.txt"]


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"nonsense", b"0123\none\ntwo"])
def test_a_damaged_pool_is_built_again(cache: Path, damage: bytes) -> None:
    remembered("pool", lambda: LINES)
    (cache / "pool.txt").write_bytes(damage)
    assert remembered("pool", lambda: ["new"]) == ["new"]
    assert remembered("pool", refuse) == ["new"]


def test_a_truncated_pool_is_built_again(cache: Path) -> None:
    remembered("pool", lambda: LINES)
    path = cache / "pool.txt"
    path.write_bytes(path.read_bytes()[:-3])
    assert remembered("pool", lambda: LINES) == LINES
    assert remembered("pool", refuse) == LINES


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert remembered("pool", lambda: LINES) == LINES


def test_an_empty_pool_is_not_remembered(cache: Path) -> None:
    assert remembered("pool", list) == []
    assert remembered("pool", lambda: LINES) == LINES


def test_an_interrupted_write_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remembered("pool", lambda: LINES)
    assert list(cache.iterdir()) == []


def test_a_relative_cache_home_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_directory() == Path("~/.cache/canvaslm").expanduser()
