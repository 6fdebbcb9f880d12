"""A checkpoint that goes on can be exported with steps of its own, and all else stays."""

import json
from pathlib import Path

import pytest
import torch
from tests.training.conftest import tiny_recipe
from tests.training.test_start import CONFIG

from canvaslm.engine.create import new_checkpoint
from canvaslm.errors import ParameterError, TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.part import LowRank
from canvaslm.training.start import Base


def settings(folder: Path, name: str) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / f"{name}.json").read_text())
    return read


@pytest.mark.parametrize("steps", [None, 7])
def test_only_the_steps_of_a_canvas_change(
    tmp_path: Path, tokenizer_files: dict[str, bytes], steps: int | None
) -> None:
    folder = new_checkpoint(CONFIG, tmp_path / "base", extra_files=dict(tokenizer_files))
    start, tokenizer = Base(str(folder), max_steps=steps), Tokenizer.from_folder(folder)
    assert tokenizer is not None
    saved = start.save(start.network(tokenizer, seed=0), tmp_path / "saved", run=tmp_path)
    changed = {"max_denoising_steps": 48 if steps is None else steps}
    assert settings(saved, "generation_config") == settings(folder, "generation_config") | changed
    assert settings(saved, "config") == settings(folder, "config")
    before, after = (Base(str(one)).network(tokenizer, seed=0) for one in (folder, saved))
    for name, tensor in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], tensor)


@pytest.mark.parametrize("steps", [0, -3, 7.5, True])
def test_no_number_of_steps_is_refused(steps: object) -> None:
    with pytest.raises(ParameterError, match="max_steps must be"):
        Base("anything", max_steps=steps)  # type: ignore[arg-type]


def test_an_adapter_has_no_steps_of_its_own() -> None:
    with pytest.raises(TrainingError, match="an adapter says nothing of steps"):
        tiny_recipe(start=Base("anything", max_steps=7), part=LowRank(rank=2))
