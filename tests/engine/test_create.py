"""New checkpoints: the weights `initialise` gives, written one tensor at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from canvaslm.checkpoint import open_checkpoint
from canvaslm.checkpoint.quantised_config import KEY
from canvaslm.checkpoint.vision import RELEASED_VISION, SMALLEST_VISION
from canvaslm.engine.create import new_checkpoint, new_text, new_vision, tokenizer_files
from canvaslm.engine.load import load_model
from canvaslm.engine.loading import POCKET
from canvaslm.engine.quantised.read import read_state
from canvaslm.engine.quantised.synthetic import synthetic_text
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.errors import CheckpointError, ParameterError, StorageError
from canvaslm.model.initialise import initialise
from canvaslm.model.presets import preset, reduced
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import scheme_of

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


@pytest.mark.parametrize("quant", ["int4", "int8", "mxfp4"])
def test_made_up_weights_in_few_bits_are_laid_out_as_rounded_ones(
    tmp_path: Path, quant: str
) -> None:
    config = reduced(preset("pocket"), layers=2)
    plain = open_checkpoint(new_checkpoint(config, tmp_path / "plain"))
    quantise_folder(plain, tmp_path / "rounded", scheme_of(quant))
    rounded = open_checkpoint(tmp_path / "rounded")
    made = open_checkpoint(new_checkpoint(config, tmp_path / "made", quant=quant))
    layout = {name: (t.dtype, t.shape) for name, t in made.tensors.items()}
    assert layout == {name: (t.dtype, t.shape) for name, t in rounded.tensors.items()}
    assert made.raw_config[KEY] == rounded.raw_config[KEY]
    gate = read_state(made)["layers.1.experts.gate"][0]
    assert gate.format == quant
    assert float(gate.dequantised().std()) == pytest.approx(0.02, rel=0.15)


def test_the_same_seed_makes_up_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        new_checkpoint("pocket", tmp_path / name, seed=seed, quant="int4")
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_a_full_size_model_in_few_bits_is_of_the_size_that_was_promised() -> None:
    text, _ = synthetic_text(preset("26b-a4b"), scheme_of("int4"), seed=0)
    assert sum(tensor.size for tensor in text) == pytest.approx(15.3e9, rel=0.01)


def test_what_cannot_be_made_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="int8, mxfp4"):
        new_checkpoint("pocket", tmp_path / "new", quant="int3")
    with pytest.raises(ParameterError, match="no effect"):
        new_checkpoint("pocket", tmp_path / "new", quant="int4", dtype=torch.float32)
    with pytest.raises(ParameterError, match="groups"):
        new_checkpoint(SMALL, tmp_path / "new", quant="int4")
    huge = replace(preset("26b-a4b"), vocab_size=1 << 40)
    with pytest.raises(StorageError, match="GB are free there"):
        new_checkpoint(huge, tmp_path / "large", quant="int4")
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_comes_along_if_it_fits(tmp_path: Path) -> None:
    files = tokenizer_files(POCKET, preset("pocket"))
    folder = new_checkpoint("pocket", tmp_path / "new", extra_files=files)
    assert (folder / "tokenizer.json").read_bytes() == (POCKET / "tokenizer.json").read_bytes()
    with pytest.raises(ParameterError, match="larger vocabulary"):
        tokenizer_files(POCKET, replace(preset("pocket"), vocab_size=100))
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        tokenizer_files(tmp_path, preset("pocket"))
