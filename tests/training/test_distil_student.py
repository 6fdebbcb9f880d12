"""A student is exported with its own number of steps, and all else as its base has it."""

import json
from pathlib import Path

import pytest
import torch
from tests.training.test_start import CONFIG

from canvaslm.engine.create import new_checkpoint
from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.distil.student import Student


def generation(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "generation_config.json").read_text())
    return read


def test_only_the_steps_of_a_canvas_change(
    tmp_path: Path, tokenizer_files: dict[str, bytes]
) -> None:
    folder = new_checkpoint(CONFIG, tmp_path / "base", extra_files=dict(tokenizer_files))
    start = Student(str(folder), max_steps=8)
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer is not None
    model = start.network(tokenizer, seed=0)
    saved = start.save(model, tmp_path / "saved", run=tmp_path)
    assert generation(saved) == generation(folder) | {"max_denoising_steps": 8}
    again = Student(str(saved), max_steps=8).network(tokenizer, seed=0)
    assert torch.equal(again.embedding, model.embedding)


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_at_all_are_refused(steps: int) -> None:
    with pytest.raises(TrainingError, match="max_steps must be at least 1"):
        Student("anything", max_steps=steps)
