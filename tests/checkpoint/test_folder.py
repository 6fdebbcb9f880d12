"""A folder opens as one thing, or is refused with the name of what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from canvaslm.checkpoint import open_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.errors import CheckpointError, ConfigError, CorruptFileError, TensorError
from canvaslm.model.transformer import Transformer

CPU = torch.device("cpu")
LAYER = "model.decoder.layers.0."
EMBEDDING = "model.decoder.embed_tokens.weight"
Rewrite = Callable[[Callable[[dict[str, Tensor]], object]], Path]


def load(folder: Path) -> Transformer:
    return load_model(open_checkpoint(folder), device=CPU)


def test_a_folder_opens_without_reading_weights(tiny: Path) -> None:
    checkpoint = open_checkpoint(str(tiny))
    assert checkpoint.path == tiny
    assert checkpoint.dtype == torch.float32
    assert checkpoint.generation["max_denoising_steps"] == 48
    assert checkpoint.tokenizer == tiny / "tokenizer.json"
    assert checkpoint.chat_template == tiny / "chat_template.jinja"
    assert checkpoint.tokenizer_config is None
    assert checkpoint.size > sum(t.size for t in checkpoint.vision.values()) > 0
    assert len(checkpoint.metadata) == 1


def shard(folder: Path, *, drop: str | None = None) -> Path:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    placed = {n: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, n in enumerate(names)}
    for file in set(placed.values()):
        own = {n: tensors[n] for n in names if placed[n] == file and n != drop}
        save_file(own, folder / file)
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    return folder


def test_shards_and_a_single_file_are_the_same_model(tiny: Path) -> None:
    whole = load(tiny).state_dict()
    sharded = load(shard(tiny)).state_dict()
    assert whole.keys() == sharded.keys()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)


def test_a_tensor_missing_from_the_shards_is_named(tiny: Path) -> None:
    with pytest.raises(TensorError, match=EMBEDDING):
        load(shard(tiny, drop=EMBEDDING))


def test_a_missing_shard_is_named(tiny: Path) -> None:
    (shard(tiny) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CorruptFileError, match="lacks model-00002-of-00002"):
        open_checkpoint(tiny)


def test_an_index_that_leaves_the_folder_is_refused(tiny: Path) -> None:
    index = shard(tiny) / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../model.safetensors"}}))
    with pytest.raises(CorruptFileError, match="outside its own folder"):
        open_checkpoint(tiny)


def test_a_tensor_in_two_shards_is_refused(tiny: Path) -> None:
    second = shard(tiny) / "model-00002-of-00002.safetensors"
    shutil.copy(tiny / "model-00001-of-00002.safetensors", second)
    with pytest.raises(TensorError, match="repeats"):
        open_checkpoint(tiny)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": {}}'])
def test_a_broken_index_is_refused(tiny: Path, content: str) -> None:
    (shard(tiny) / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CorruptFileError, match=r"index\.json"):
        open_checkpoint(tiny)


def test_pickle_files_are_never_loaded(tiny: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, and pickle files can run code"):
        open_checkpoint(tiny)


def test_a_folder_without_weights_or_config_is_refused(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        open_checkpoint(tiny)
    (tiny / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        open_checkpoint(tiny)


@pytest.mark.parametrize("content", ["{'not': json}", "[1]", "", "\xff"])
def test_a_config_that_is_not_json_is_refused(tiny: Path, content: str) -> None:
    (tiny / "config.json").write_text(content, "latin-1")
    with pytest.raises(ConfigError, match=r"config\.json"):
        open_checkpoint(tiny)


def test_a_truncated_file_is_refused(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match="truncated"):
        open_checkpoint(tiny)


def test_a_wrong_head_count_names_the_tensor(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    config["text_config"]["num_attention_heads"] = 4
    (tiny / "config.json").write_text(json.dumps(config))
    with pytest.raises(TensorError, match=r"self_attn\.\w+\.weight has shape .* asks for"):
        load(tiny)


@pytest.mark.parametrize("name", [EMBEDDING, LAYER + "router.scale", LAYER + "layer_scalar"])
def test_a_missing_tensor_is_named(rewrite: Rewrite, name: str) -> None:
    with pytest.raises(TensorError, match=name):
        load(rewrite(lambda tensors: {n: t for n, t in tensors.items() if n != name}))


def test_a_surplus_tensor_is_named(rewrite: Rewrite) -> None:
    extra = {LAYER + "self_attn.q_proj.bias": torch.zeros(8)}
    with pytest.raises(TensorError, match=r"self_attn\.q_proj\.bias"):
        load(rewrite(lambda tensors: tensors.update(extra)))


@pytest.mark.parametrize("change", [lambda t: t[1:], lambda t: t.to(torch.int8)])
def test_a_wrong_shape_or_type_is_named(
    rewrite: Rewrite, change: Callable[[Tensor], Tensor]
) -> None:
    name = LAYER + "experts.down_proj"
    with pytest.raises(TensorError, match=name):
        load(rewrite(lambda tensors: tensors.update({name: change(tensors[name]).contiguous()})))


TIED = {
    "lm_head.weight": EMBEDDING,
    "model.encoder.language_model.embed_tokens.weight": EMBEDDING,
    "model.encoder.language_model.norm.weight": "model.decoder.norm.weight",
    "model.encoder.language_model.layers.0.router.scale": LAYER + "router.scale",
}


def test_equal_copies_of_tied_tensors_are_accepted(rewrite: Rewrite) -> None:
    load(rewrite(lambda ts: ts.update({copy: ts[name].clone() for copy, name in TIED.items()})))


@pytest.mark.parametrize("copy", TIED)
def test_a_copy_that_differs_is_refused(rewrite: Rewrite, copy: str) -> None:
    with pytest.raises(TensorError, match=f"{copy} differs from"):
        load(rewrite(lambda tensors: tensors.update({copy: tensors[TIED[copy]] + 1})))


def test_an_absent_encoder_scalar_is_the_decoders(rewrite: Rewrite) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[LAYER + "layer_scalar"] = torch.tensor([0.5])
        del tensors["model.encoder.language_model.layers.0.layer_scalar"]
        tensors["model.encoder.language_model.layers.1.layer_scalar"] = torch.tensor([0.25])

    first, second = load(rewrite(change)).layers
    assert (first.encode_scalar.item(), first.denoise_scalar.item()) == (0.5, 0.5)
    assert (second.encode_scalar.item(), second.denoise_scalar.item()) == (0.25, 1.0)


def test_vision_tensors_are_neither_needed_nor_surplus(rewrite: Rewrite) -> None:
    folder = rewrite(lambda ts: {n: t for n, t in ts.items() if ".vision_tower." not in n})
    load(folder)
    unknown = {"model.encoder.vision_tower.something.new": torch.zeros(3)}
    load(rewrite(lambda tensors: tensors.update(unknown)))
