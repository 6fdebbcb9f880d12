"""Compiling the kernels: what is rebuilt, what is left out, what is said when it does not work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from canvaslm.kernels import build

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="needs a C++ compiler")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries, and a source small enough to compile often."""
    sources = tmp_path / "source"
    sources.mkdir()
    for name in ("api.h", "probe.cpp"):
        shutil.copy(build.SOURCE / name, sources)
    monkeypatch.setattr(build, "SOURCE", sources)
    monkeypatch.setenv("CANVASLM_LIBRARIES", str(tmp_path / "made"))
    return sources


@needs_compiler
def test_a_library_is_stale_once_its_sources_change(elsewhere: Path) -> None:
    assert build.stale("plain")
    (made,) = build.build(only=["plain"])
    assert not build.stale("plain")
    assert build.stale("avx2")
    (elsewhere / "api.h").write_text((elsewhere / "api.h").read_text() + "\n")
    assert build.stale("plain")
    before = made.stat().st_mtime_ns
    build.build(only=["plain"], stale_only=True)
    assert made.stat().st_mtime_ns > before
    assert not build.stale("plain")


@needs_compiler
def test_what_is_current_is_not_compiled_again(elsewhere: Path) -> None:
    (made,) = build.build(only=["plain"])
    before = made.stat().st_mtime_ns
    assert build.build(only=["plain"], stale_only=True) == [made]
    assert made.stat().st_mtime_ns == before


@needs_compiler
def test_a_set_that_the_compiler_does_not_know_is_left_out(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "sets", lambda: {"plain": [], "amx": ["-mno-such-instructions"]})
    assert [path.name for path in build.build()] == ["kernels_plain.so"]


@needs_compiler
def test_an_error_comes_with_the_compilers_words(elsewhere: Path) -> None:
    (elsewhere / "wrong.cpp").write_text("int main( {")
    with pytest.raises(RuntimeError, match=r"wrong\.cpp.*error"):
        build.build(only=["plain"])
    assert not build.library("plain").exists()


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    around = os.environ | {"PATH": str(tmp_path), "CANVASLM_LIBRARIES": str(tmp_path), "CXX": ""}
    command = [sys.executable, build.__file__]
    done = subprocess.run(command, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "no C++ compiler was found: install g++, or name one in CXX\n"


def test_an_unknown_set_is_refused() -> None:
    command = [sys.executable, build.__file__, "mmx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such instruction set here: mmx" in done.stderr
