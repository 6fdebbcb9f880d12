"""`canvaslm new`."""

import resource
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm

SMALL = ("--layers", 2, "--scale", 0.1)


def test_what_is_written_loads_and_answers_ids(run: Run, tmp_path: Path) -> None:
    done = run("new", tmp_path / "new", *SMALL)
    assert done.code == 0
    assert str(tmp_path / "new") in done.out
    lm = canvaslm.load(tmp_path / "new")
    params = canvaslm.Params(max_tokens=4, max_steps=1, seed=1)
    assert len(lm.generate([2, 5, 7], params=params).token_ids) <= 4


def test_the_same_seed_writes_the_same_weights(run: Run, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("new", tmp_path / name, *SMALL, "--seed", seed)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--preset", "9000b"), "26b-a4b"),
        (("--layers", 0), "layers"),
        (("--scale", 3), "scale"),
        (("--dtype", "int4"), "--dtype"),
    ],
)
def test_what_cannot_be_made_is_refused(
    run: Run, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    done = run("new", tmp_path / "new", *options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert not (tmp_path / "new").exists()


def test_a_full_disk_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the disk ends after a page
    try:
        done = run("new", tmp_path / "new", *SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (done.code, done.out) == (2, "")
    assert "could not be written" in done.err
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_replaced_only_when_asked(run: Run, tmp_path: Path) -> None:
    assert run("new", tmp_path / "new", *SMALL).code == 0
    assert run("new", tmp_path / "new", *SMALL).code == 2
    assert run("new", tmp_path / "new", *SMALL, "--overwrite").code == 0
