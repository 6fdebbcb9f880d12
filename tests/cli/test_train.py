"""`canvaslm train`."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--resume",), "resume"),
        (("--size", 33), "33"),
        (("--steps", 0), "0"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_a_run_that_cannot_start_is_refused(
    run: Run, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    done = run("train", "pocket", "--out", tmp_path / "run", *options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_a_damaged_run_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"not tensors at all")
    done = run("train", "pocket", "--out", tmp_path, "--resume")
    assert (done.code, done.out) == (2, "")
    assert "no training state" in done.err
