"""`canvaslm merge`, and what it refuses."""

import json
from pathlib import Path

import pytest
from tests.adapter.conftest import trained
from tests.cli.conftest import Run

from canvaslm.adapter.files import save_adapter
from canvaslm.checkpoint import open_checkpoint


@pytest.fixture
def adapter(checkpoint: Path, tmp_path: Path) -> Path:
    made = trained(open_checkpoint(checkpoint).config)
    return save_adapter(made, tmp_path / "adapter")


def test_what_it_writes_is_a_checkpoint(
    run: Run, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    done = run("merge", checkpoint, adapter, tmp_path / "out", "--json")
    assert done.code == 0
    said = json.loads(done.out)
    assert said["path"] == str(tmp_path / "out")
    assert (said["rank"], said["matrices"]) == (3, 10)
    answer = run("generate", "-m", tmp_path / "out", "--max-tokens", "4", "--seed", "1", "hello")
    assert answer.code == 0
    plain = run("merge", checkpoint, adapter, tmp_path / "out", "--overwrite")
    assert "10 matrices" in plain.out


def test_what_cannot_be_merged_is_said(
    run: Run, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    done = run("merge", checkpoint, adapter, tmp_path / "out")
    assert done.code == 2
    assert "pickle" in done.err
    assert not (tmp_path / "out").exists()
