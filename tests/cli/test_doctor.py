"""`canvaslm doctor`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from canvaslm.kernels.cpu.library import runnable


def test_says_what_is_there_and_what_was_chosen(run: Run) -> None:
    document = json.loads(run("doctor", "--json").out)
    assert {"canvaslm", "python", "torch"} <= set(document["versions"])
    assert "GiB" in document["processor"]["memory"]
    assert "state" in document["embedded model"]


def test_the_plain_page_says_the_same(run: Run) -> None:
    document, page = json.loads(run("doctor", "--json").out), run("doctor").out
    assert document["versions"]["torch"] in page
    assert document["processor"]["name"] in page


def test_the_best_kernels_that_run_are_chosen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANVASLM_KERNELS", raising=False)
    kernels = json.loads(run("doctor", "--json").out)["kernels"]
    assert kernels["chosen"].startswith((runnable() or ["reference"])[-1])
    assert kernels["runnable"] == (", ".join(runnable()) or "none")


def test_kernels_may_be_asked_for_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANVASLM_KERNELS", "reference")
    kernels = json.loads(run("doctor", "--json").out)["kernels"]
    assert kernels["chosen"] == "reference: CANVASLM_KERNELS says so"
    monkeypatch.setenv("CANVASLM_KERNELS", "mmx")
    assert "must be one of" in json.loads(run("doctor", "--json").out)["kernels"]["chosen"]


def test_where_nothing_was_compiled_it_says_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANVASLM_LIBRARIES", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("PATH", str(tmp_path))
    kernels = json.loads(run("doctor", "--json").out)["kernels"]
    assert kernels["compiled"] == kernels["runnable"] == kernels["compiler"] == "none"
    assert "install g++ and run `python -m canvaslm.kernels.build`" in kernels["chosen"]


def test_libraries_of_other_sources_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kernels_amx.so").write_bytes(b"canvaslm-digest:0123456789abcdef")
    monkeypatch.setenv("CANVASLM_KERNELS", "reference")
    monkeypatch.setenv("CANVASLM_LIBRARIES", str(tmp_path))
    kernels = json.loads(run("doctor", "--json").out)["kernels"]
    assert kernels["stale"].startswith("amx: the sources have changed since")
