"""Adapter folders: they come back as they were, and what cannot be used is refused by name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapter.conftest import only, trained
from tests.model.conftest import SMALL
from torch import Tensor

from canvaslm.adapter.adapter import Adapter, Pair, new_adapter
from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.files import read_adapter, save_adapter
from canvaslm.errors import (
    CheckpointError,
    ConfigError,
    CorruptFileError,
    ParameterError,
    StorageError,
    TensorError,
)

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
KEY = "base_model.model.model.decoder.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(trained(SMALL), tmp_path_factory.mktemp("adapters") / "saved")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "adapter"))


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_saved_is_read_again(tmp_path: Path, rslora: bool, dtype: torch.dtype) -> None:
    made = trained(SMALL, rslora=rslora)
    cast = {name: Pair(pair.a.to(dtype), pair.b.to(dtype)) for name, pair in made.pairs.items()}
    adapter = replace(made, pairs=cast)
    read = read_adapter(save_adapter(adapter, tmp_path / "adapter"))
    assert (read.config, read.base) == (adapter.config, "owner/tiny")
    assert read.pairs.keys() == adapter.pairs.keys()
    for name, pair in adapter.pairs.items():
        assert torch.equal(read.pairs[name].a, pair.a)
        assert torch.equal(read.pairs[name].b, pair.b)


def test_only_an_adapter_is_overwritten(folder: Path, tmp_path: Path) -> None:
    other = trained(SMALL, seed=1)
    with pytest.raises(CheckpointError, match="exists already"):
        save_adapter(other, folder)
    save_adapter(other, folder, overwrite=True)
    found = read_adapter(folder).pairs["layers.0.attention.q"].b
    assert torch.equal(found, other.pairs["layers.0.attention.q"].b)
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain")
    with pytest.raises(CheckpointError, match="not overwritten"):
        save_adapter(other, tmp_path / "diary", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "diary"]


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        save_adapter(trained(SMALL), tmp_path / "file" / "adapter")


def settings(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(raw | changes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "LOHA"),
        ("use_dora", True),
        ("bias", "lora_only"),
        ("lora_bias", True),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 4}),
        ("alpha_pattern", {"q_proj": 4}),
        ("target_parameters", ["experts.gate_up_proj"]),
        ("trainable_token_indices", [1, 2]),
        ("layer_replication", [[0, 2], [1, 3]]),
        ("fan_in_fan_out", True),
        ("init_lora_weights", "pissa"),
        ("alora_invocation_tokens", [7]),
        ("something_new", 3),
        ("r", "eight"),
        ("r", 0),
        ("r", True),
        ("lora_alpha", -1),
        ("lora_alpha", None),
        ("use_rslora", "yes"),
    ],
)
def test_a_setting_that_is_not_obeyed_is_refused_by_name(
    folder: Path, key: str, value: Any
) -> None:
    settings(folder, **{key: value})
    with pytest.raises(
        ConfigError, match="alpha" if key == "lora_alpha" else "r = |rank" if key == "r" else key
    ):
        read_adapter(folder)


@pytest.mark.parametrize("key", ["r", "lora_alpha", "peft_type"])
def test_a_setting_that_is_missing_is_named(folder: Path, key: str) -> None:
    raw = json.loads((folder / CONFIG).read_text())
    del raw[key]
    (folder / CONFIG).write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=key):
        read_adapter(folder)


def test_settings_of_training_are_let_pass(folder: Path) -> None:
    settings(
        folder,
        lora_dropout=0.1,
        init_lora_weights="gaussian",
        target_modules=["q_proj"],
        peft_version="0.99",
        use_dora=False,
        bias="none",
        loftq_config={},
        task_type="CAUSAL_LM",
    )
    read_adapter(folder)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (KEY.replace("lora_A.weight", "lora_magnitude_vector"), "DoRA"),
        (KEY.replace("weight", "bias"), "biases"),
        (KEY.replace("layers.0.self_attn.q_proj", "layers.0.experts"), "experts"),
        ("base_model.model.model.decoder.embed_tokens.lora_embedding_A", "embedding"),
        ("base_model.model.lm_head.lora_A.weight", "output head"),
        ("base_model.model.model.encoder.vision_tower.layers.0.q_proj.lora_A.weight", "image"),
        ("base_model.model.lm_head.modules_to_save.weight", "output head|modules"),
        (KEY.replace("self_attn.q_proj", "self_attn.qkv_proj"), "not known"),
        (KEY.replace("model.decoder.", ""), "not known"),
        (
            "base_model.model.model.encoder.language_model.self_conditioning.up_proj.lora_A.weight",
            "not known",
        ),
        ("transformer.h.0.attn.c_attn.lora_A.weight", "not known"),
    ],
)
def test_a_tensor_that_has_no_place_is_refused_by_name(folder: Path, key: str, reason: str) -> None:
    rewrite(folder, lambda tensors: tensors.update({key: torch.zeros(3, 24)}))
    with pytest.raises(TensorError, match=reason) as refused:
        read_adapter(folder)
    assert key in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update({KEY: torch.zeros(4, 24)}), "differ|expected"),
        (lambda t: t.update({KEY: torch.zeros(3, 24, 1)}), "expected a matrix"),
        (lambda t: t.update({KEY: torch.zeros(3, 24, dtype=torch.int8)}), "of floats"),
        (lambda t: t.pop(KEY), "other half"),
        (lambda t: t.clear(), "no tensors"),
        (lambda t: [x.fill_(torch.nan) for x in t.values()], "differ|NaN"),
        (lambda t: [x.fill_(torch.inf) for x in t.values()], "NaN or infinity"),
        (lambda t: [t.pop(key) for key in list(t) if "encoder" in key], "one is missing"),
    ],
)
def test_tensors_that_cannot_be_right_are_refused(
    folder: Path, change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(TensorError, match=said):
        read_adapter(folder)


def test_a_rank_that_is_not_the_tensors_is_refused(folder: Path) -> None:
    settings(folder, r=4)
    with pytest.raises(TensorError, match="rank of 4"):
        read_adapter(folder)


def test_one_side_is_taken_where_asked(folder: Path) -> None:
    rewrite(folder, lambda t: [t.pop(key) for key in list(t) if "encoder" in key])
    assert read_adapter(folder, sides="decoder").pairs.keys() == trained(SMALL).pairs.keys()
    rewrite(folder, lambda t: [t.pop(key) for key in list(t) if "conditioning" in key])
    with pytest.raises(TensorError, match="no adapter of the encoder"):
        read_adapter(folder, sides="encoder")


def test_pickles_are_not_loaded(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickle files can run code"):
        read_adapter(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(CheckpointError, match=WEIGHTS):
        read_adapter(folder)


def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=CONFIG):
        read_adapter(tmp_path)


def test_broken_files_are_named(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-9])
    with pytest.raises(CorruptFileError, match=WEIGHTS):
        read_adapter(folder)
    (folder / CONFIG).write_text("{")
    with pytest.raises(ConfigError, match=CONFIG):
        read_adapter(folder)


def test_an_adapter_for_another_base_is_refused() -> None:
    adapter = trained(SMALL)
    with pytest.raises(TensorError, match=r"another base: layers\.0\.\S+ is \[\d+, 32\] here"):
        adapter.check(replace(SMALL, hidden_size=32))
    with pytest.raises(TensorError, match=r"another base: it bends layers\.1"):
        adapter.check(replace(SMALL, layers=SMALL.layers[:1]))
    adapter.check(SMALL)


def test_another_name_of_the_base_is_a_warning(tmp_path: Path) -> None:
    adapter: Adapter = only(trained(SMALL), "mlp.up")
    for name in ("tiny", "models--owner--tiny/snapshots/12ab"):
        adapter.warn_of_another_name(tmp_path / name)
    replace(adapter, base=None).warn_of_another_name(tmp_path / "other")
    with pytest.warns(UserWarning, match="owner/tiny"):
        adapter.warn_of_another_name(tmp_path / "other")


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"alpha": 0.0}, {"targets": ()}, {"targets": ("experts.down",)}]
)
def test_a_configuration_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        AdapterConfig(**wrong)


def test_a_target_that_is_not_there_is_refused() -> None:
    config = AdapterConfig(targets=("mlp.up", "router.proj"))
    with pytest.raises(ParameterError, match=r"router\.proj"):
        new_adapter(config, replace(SMALL, experts=None), seed=0)
