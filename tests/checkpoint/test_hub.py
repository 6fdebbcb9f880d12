"""Folders are found where they are; ids are asked of the hub, which these tests cannot reach."""

from pathlib import Path

import pytest

from canvaslm.checkpoint.hub import SHIPPED, resolve
from canvaslm.errors import CheckpointError


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve(tmp_path) == resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_goes_by_its_name_unless_a_folder_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (resolve(name) / "model.safetensors").is_file()
    (tmp_path / name).mkdir()
    assert resolve(name) == Path(name)


@pytest.mark.parametrize("where", ["no-such-folder", "./no/such/folder", "/no/such", "a/b/c"])
def test_a_path_that_leads_nowhere_is_refused(where: str) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint folder, a hub id"):
        resolve(where)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(CheckpointError, match="is a file; expected the folder"):
        resolve(tmp_path / "model.gguf")


def test_an_unreachable_hub_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match="pass the path of a local folder"):
        resolve("nobody/no-such-model")
