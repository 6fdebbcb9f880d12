"""`canvaslm train fewer`: what cannot be begun is refused before the teacher is asked."""

from pathlib import Path

from tests.cli.conftest import Run


def test_a_run_that_is_not_there_is_not_resumed(run: Run, tmp_path: Path) -> None:
    done = run("train", "fewer", "--out", tmp_path / "none", "--resume", "--answers", 1)
    assert (done.code, done.out) == (2, "")
    assert "holds no run to resume" in done.err
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("train", "fewer", "--out", tmp_path / "file" / "run", "--answers", 1)
    assert (done.code, done.out) == (2, "")
    assert "cannot write" in done.err


def test_no_answers_teach_nothing(run: Run, tmp_path: Path) -> None:
    done = run("train", "fewer", "--out", tmp_path / "run", "--answers", 0)
    assert (done.code, done.out) == (2, "")
    assert "--answers must be at least 1, got 0" in done.err


def test_a_teacher_that_is_not_there_leaves_nothing(run: Run, tmp_path: Path) -> None:
    done = run("train", "fewer", "--model", tmp_path / "none", "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert "expected a checkpoint folder" in done.err
    assert not (tmp_path / "run").exists()


def test_a_setting_is_refused_before_the_teacher_is_asked(run: Run, tmp_path: Path) -> None:
    done = run("train", "fewer", "--out", tmp_path / "run", "--max-steps", 0)
    assert (done.code, done.out) == (2, "")
    assert "max_steps must be at least 1, got 0" in done.err
    assert not (tmp_path / "run").exists()
