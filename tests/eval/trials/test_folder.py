"""A run's folder: whole lines, one run, no surprises."""

import json
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.eval.trials.small import record

from canvaslm.errors import CorruptFileError, ParameterError, StorageError
from canvaslm.eval.trials.folder import Folder
from canvaslm.eval.trials.record import read


@given(st.text(), st.text(), st.dictionaries(st.text(), st.floats(0, 1)))
def test_a_record_comes_back_from_its_line(
    prompt: str, answer: str, details: dict[str, float]
) -> None:
    made = record(3, prompt=prompt, answer=answer, details=details, steps=None)
    line = made.line()
    assert line.count("\n") == 1
    assert read(line, where="here") == made


def test_a_folder_is_taken_once_or_gone_on_with(tmp_path: Path) -> None:
    settings = {"model": "m", "seed": 1, "tasks": ("a",), "place": {"device": "here"}}
    Folder.begin(tmp_path / "new" / "run", settings, resume=True).keep([record(0)])
    with pytest.raises(ParameterError, match="--resume"):
        Folder.begin(tmp_path / "new" / "run", settings, resume=False)
    elsewhere = {**settings, "place": {"device": "there"}}
    assert Folder.begin(tmp_path / "new" / "run", elsewhere, resume=True).records() == [record(0)]
    with pytest.raises(ParameterError, match="seed was 1 and is 2"):
        Folder.begin(tmp_path / "new" / "run", {**settings, "seed": 2}, resume=True)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_off_anywhere_is_dropped(tmp_path: Path, cut: int) -> None:
    folder = Folder.begin(tmp_path / "run", {}, resume=False)
    folder.keep([record(0), record(1)])
    file = tmp_path / "run" / "cases.jsonl"
    os.truncate(file, file.stat().st_size - cut)
    resumed = Folder.begin(tmp_path / "run", {}, resume=True)
    assert resumed.records() == [record(0)]
    resumed.keep([record(1)])
    assert folder.records() == [record(0), record(1)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "line 2, is not JSON"),
        ("[1]", "line 2, is not a case"),
        ('{"task": "a"}', "line 2, is not a case"),
        (record(0).line().strip(), "a case twice"),
    ],
)
def test_a_file_that_is_not_a_runs_is_refused_by_its_line(
    tmp_path: Path, line: str, reason: str
) -> None:
    folder = Folder.begin(tmp_path / "run", {}, resume=False)
    folder.keep([record(0)])
    with (tmp_path / "run" / "cases.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(CorruptFileError, match=reason):
        folder.records()


def test_a_folder_without_a_run_or_with_a_broken_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="has no run"):
        _ = Folder(path=tmp_path).settings
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CorruptFileError):
        _ = Folder(path=tmp_path).settings
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        Folder.begin(tmp_path / "file", {}, resume=False)


def test_a_disk_that_is_full_leaves_whole_lines(tmp_path: Path) -> None:
    folder = Folder.begin(tmp_path / "run", {}, resume=False)
    folder.keep([record(0)])
    size = (tmp_path / "run" / "cases.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))  # stands for a full disk
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            folder.keep([record(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.records() == [record(0)]
    assert (tmp_path / "run" / "cases.jsonl").stat().st_size == size


def test_a_file_is_put_whole(tmp_path: Path) -> None:
    folder = Folder.begin(tmp_path / "run", {"a": 1}, resume=False)
    folder.put("report.json", "{}")
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == {}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["report.json", "run.json"]
