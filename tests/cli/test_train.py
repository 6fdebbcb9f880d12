"""`canvaslm train`."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("options", "reason"),
    [(("--resume",), "resume"), (("--size", 33), "33"), (("--steps", 0), "0")],
)
def test_a_run_that_cannot_start_is_refused(
    run: Run, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    done = run("train", "pocket", "--out", tmp_path / "run", *options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
