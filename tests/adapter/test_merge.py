"""A merged checkpoint: the numbers of the unmerged one, in its own type, whole or not at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.adapter.conftest import only, trained
from tests.adapter.passes import answers, far
from tests.model.conftest import SMALL

from canvaslm.adapter.adapter import new_adapter
from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.merge import merge_folder
from canvaslm.adapter.wear import wearing
from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.checkpoint.names import released_name
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.errors import CheckpointError, TensorError
from canvaslm.quant.scheme import Scheme

CPU = torch.device("cpu")


def made(folder: Path, dtype: torch.dtype) -> Checkpoint:
    files = {"README.md": b"a card", "decisions.json": b'{"temperatures": {}}'}
    path = new_checkpoint(SMALL, folder, seed=3, dtype=dtype, extra_files=files)
    return open_checkpoint(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@torch.no_grad()
def test_merged_is_unmerged_within_rounding(tmp_path: Path, dtype: torch.dtype) -> None:
    source, adapter = made(tmp_path / "base", dtype), trained(SMALL, size=0.02)
    merged = open_checkpoint(merge_folder(source, adapter, tmp_path / "merged"))
    assert merged.dtype == dtype
    assert merged.raw_config == source.raw_config
    models = [load_model(c, device=CPU, dtype=torch.float64) for c in (merged, source)]
    before = load_model(source, device=CPU, dtype=torch.float64).state_dict()
    for name, tensor in models[0].state_dict().items():
        change = 0.0
        if pair := adapter.pairs.get(name.removesuffix(".weight")):
            change = adapter.config.scale * pair.product(dtype=torch.float64)
        exact = before[name] + change
        allowed = torch.finfo(dtype).eps / 2 * exact.abs() + 1e-7  # rounded once
        assert ((tensor - exact).abs() <= allowed).all()
    if dtype.itemsize > 2:  # what 16 bits round away may send a token to another expert
        merged_model, model = (one.float() for one in models)
        assert far(answers(merged_model), answers(wearing(model, adapter))) <= 1e-4


def test_a_new_adapter_merges_into_the_same_bits(tmp_path: Path) -> None:
    source = made(tmp_path / "base", torch.bfloat16)
    zero = new_adapter(AdapterConfig(), SMALL, seed=0)
    merged = open_checkpoint(merge_folder(source, zero, tmp_path / "merged"))
    assert merged.tensors.keys() == source.tensors.keys()
    assert all(tensor.same_bytes(source.tensors[n]) for n, tensor in merged.tensors.items())


def test_what_is_not_bent_is_copied_and_fitted_temperatures_are_not(tmp_path: Path) -> None:
    source = made(tmp_path / "base", torch.float32)
    adapter = only(trained(SMALL), "mlp.up")
    folder = merge_folder(source, adapter, tmp_path / "merged")
    merged = open_checkpoint(folder)
    changed = {n for n, t in merged.tensors.items() if not t.same_bytes(source.tensors[n])}
    assert changed == {released_name(f"{name}.weight") for name in adapter.pairs}
    assert (folder / "README.md").read_text() == "a card"
    assert not (folder / "decisions.json").exists()


def test_the_encoders_copy_of_a_weight_is_merged_too(tmp_path: Path) -> None:
    source = made(tmp_path / "base", torch.float32)
    file = source.path / "model.safetensors"
    tensors, own = load_file(file), released_name("layers.0.mlp.up.weight")
    copy = own.replace("decoder", "encoder.language_model")
    from safetensors.torch import save_file

    save_file({**tensors, copy: tensors[own].clone()}, file)
    folder = merge_folder(open_checkpoint(source.path), trained(SMALL), tmp_path / "merged")
    merged = open_checkpoint(folder).tensors
    assert merged[copy].same_bytes(merged[own])


def test_what_cannot_be_merged_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source, adapter = made(tmp_path / "base", torch.float16), trained(SMALL)
    other = trained(type(SMALL)(**{**vars(SMALL), "intermediate_size": 32}))
    with pytest.raises(TensorError, match="another base"):
        merge_folder(source, other, tmp_path / "out")
    with pytest.raises(TensorError, match=r"not finite as torch\.float16"):
        merge_folder(source, trained(SMALL, size=1e6), tmp_path / "out")
    with pytest.raises(CheckpointError, match="exists already"):
        merge_folder(source, adapter, tmp_path / "base")
    quantise_folder(source, tmp_path / "few", Scheme(experts="int8"))
    with pytest.raises(TensorError, match="is quantised"):
        merge_folder(open_checkpoint(tmp_path / "few"), adapter, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "few"]


def test_a_folder_may_be_merged_in_place(tmp_path: Path) -> None:
    source = made(tmp_path / "base", torch.float32)
    apart = merge_folder(source, trained(SMALL), tmp_path / "apart")
    merge_folder(source, trained(SMALL), source.path, overwrite=True)
    one, other = open_checkpoint(apart).tensors, open_checkpoint(source.path).tensors
    assert all(one[name].same_bytes(other[name]) for name in one)
    assert json.loads((source.path / "config.json").read_text())["model_type"]
