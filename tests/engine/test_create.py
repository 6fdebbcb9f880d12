"""New checkpoints: the weights `initialise` gives, written one tensor at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from canvaslm.checkpoint import open_checkpoint
from canvaslm.checkpoint.vision import RELEASED_VISION, SMALLEST_VISION
from canvaslm.engine.create import new_checkpoint, new_text, new_vision
from canvaslm.engine.load import load_model
from canvaslm.errors import CheckpointError, ParameterError, StorageError
from canvaslm.model.initialise import initialise
from canvaslm.model.presets import preset, reduced
from canvaslm.model.transformer import Transformer

SMALL = reduced(preset("pocket"), layers=2, scale=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_checkpoint_holds_the_seeds_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    seen: list[tuple[int, int]] = []
    folder = new_checkpoint(
        SMALL,
        tmp_path / "new",
        seed=11,
        dtype=dtype,
        extra_files={"README.md": b"# new\n"},
        progress=lambda done, total: seen.append((done, total)),
    )
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == SMALL
    assert (folder / "README.md").read_bytes() == b"# new\n"
    assert seen[-1] == (checkpoint.size, checkpoint.size)
    expected = Transformer(SMALL).to(dtype)
    initialise(expected, seed=11)
    loaded = load_model(checkpoint, device=torch.device("cpu")).state_dict()
    assert all(torch.equal(loaded[name], t) for name, t in expected.state_dict().items())


def test_the_embedded_shape_is_a_preset(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(new_checkpoint("pocket", tmp_path / "pocket"))
    assert checkpoint.config == preset("pocket")
    assert checkpoint.raw_config["vision_config"] == SMALLEST_VISION
    assert checkpoint.raw_config["dtype"] == "bfloat16"
    assert checkpoint.size < 40e6


def test_the_release_has_the_released_size() -> None:
    """Text parameters, the encoder's own layer scalars, and an image encoder of about 570M."""
    config, options = preset("26b-a4b"), {"seed": 0, "dtype": torch.bfloat16}
    text = sum(tensor.size for tensor in new_text(config, **options))
    vision = sum(t.size for t in new_vision(RELEASED_VISION, config.hidden_size, **options))
    assert text == 2 * (25_250_986_782 + 30)
    assert vision / 2e6 == pytest.approx(570, rel=0.01)


def test_what_does_not_fit_the_disk_is_not_begun(tmp_path: Path) -> None:
    huge = replace(preset("26b-a4b"), vocab_size=1 << 40)
    with pytest.raises(StorageError, match="GB are free there"):
        new_checkpoint(huge, tmp_path / "large")
    assert not list(tmp_path.iterdir())


def test_an_unknown_preset_or_a_taken_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="70b"):
        new_checkpoint("70b", tmp_path / "new")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(CheckpointError, match="exists already"):
        new_checkpoint(SMALL, tmp_path / "taken")
