"""`canvaslm eval`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run


def test_json_is_one_document(run: Run, checkpoint: Path) -> None:
    done = run("eval", "scenes", "--n", 4, "--model", checkpoint, "--mode", "one-shot", "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert (document["task"], document["mode"], document["n"]) == ("scenes", "one-shot", 4)
    assert document["steps_per_canvas"] == 1
    assert sum(row["n"] for row in document["bins"].values()) == 4
    assert {"score", "tokens_per_second", "seconds", "device", "dtype"} <= set(document)


def test_the_table_has_a_line_for_each_bin(run: Run, checkpoint: Path) -> None:
    done = run("eval", "scenes", "--n", 4, "--model", checkpoint, "--mode", "one-shot")
    assert done.code == 0
    for name in ("1", "2", "3", "4", "all"):
        assert f"\n  {name} " in done.out
    assert "tokens/s" in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("chess",), "No such command 'chess'"),
        (("scenes", "--bin", "77"), "77"),
        (("scenes", "--n", 0), "n must be"),
        (("scenes", "--mode", "backwards"), "--mode"),
        (("scenes", "--seed", "x"), "--seed"),
        (("scenes", "--batch", 0), "batch"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    run: Run, checkpoint: Path, args: tuple[object, ...], reason: str
) -> None:
    done = run("eval", *args, "--model", checkpoint)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
