"""Weights come in once, and what is saved is what was loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model, save_model
from canvaslm.errors import CheckpointError
from canvaslm.model.presets import preset, reduced

CPU = torch.device("cpu")
SMALL = reduced(preset("pocket"), layers=3, scale=0.2)


@pytest.fixture
def source(tmp_path: Path) -> Checkpoint:
    files = {"tokenizer.json": b"{}", "README.md": b"# mine\n", "LICENSE": b"Apache-2.0\n"}
    return open_checkpoint(
        new_checkpoint(
            SMALL, tmp_path / "source", seed=4, generation={"t_max": 0.5}, extra_files=files
        )
    )


def test_the_files_own_type_is_mapped_not_copied(source: Checkpoint) -> None:
    model = load_model(source, device=CPU)
    file = source.tensors["model.decoder.norm.weight"].file
    first, last = file.mapped.data_ptr(), file.mapped.data_ptr() + file.length
    assert all(first <= tensor.data_ptr() < last for tensor in model.state_dict().values())
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    assert not model.training


def test_another_type_is_the_same_weights_converted(source: Checkpoint) -> None:
    exact = load_model(source, device=CPU).state_dict()
    wide = load_model(source, device=CPU, dtype=torch.float32).state_dict()
    assert all(torch.equal(wide[name], tensor.float()) for name, tensor in exact.items())


def test_a_saved_model_is_the_loaded_one_with_all_that_came_along(
    source: Checkpoint, tmp_path: Path
) -> None:
    config = dict(source.raw_config) | {"a_note": "kept", "unsloth_version": "1"}
    (source.path / "config.json").write_text(json.dumps(config))
    source = open_checkpoint(source.path)
    model = load_model(source, device=CPU)
    extra = {"README.md": b"# new card\n"}
    saved = open_checkpoint(save_model(model, tmp_path / "out", source=source, extra_files=extra))
    assert saved.raw_config == config
    assert saved.generation == {"t_max": 0.5}
    assert saved.metadata == source.metadata
    assert (saved.path / "LICENSE").read_bytes() == b"Apache-2.0\n"
    assert (saved.path / "tokenizer.json").exists()
    assert (saved.path / "README.md").read_bytes() == b"# new card\n"
    assert saved.tensors.keys() == source.tensors.keys()
    assert all(saved.tensors[n].same_bytes(tensor) for n, tensor in source.tensors.items())


def test_a_changed_type_is_written_down(source: Checkpoint, tmp_path: Path) -> None:
    model = load_model(source, device=CPU, dtype=torch.float32)
    saved = open_checkpoint(save_model(model, tmp_path / "out", source=source))
    assert saved.raw_config == dict(source.raw_config) | {"dtype": "float32"}
    assert saved.dtype == torch.float32


def test_without_a_source_the_folder_is_complete_all_the_same(
    source: Checkpoint, tmp_path: Path
) -> None:
    model = load_model(source, device=CPU)
    saved = open_checkpoint(save_model(model, tmp_path / "out"))
    assert saved.config == SMALL
    assert saved.vision.keys() == source.vision.keys()
    assert saved.generation["max_denoising_steps"] == 48


def test_a_model_can_be_saved_over_its_own_mapped_files(source: Checkpoint) -> None:
    model = load_model(source, device=CPU)
    with pytest.raises(CheckpointError, match="exists already"):
        save_model(model, source.path, source=source)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.norm.weight.mul_(2)
    save_model(model, source.path, source=source, overwrite=True)
    again = load_model(open_checkpoint(source.path), device=CPU).state_dict()
    before["norm.weight"] *= 2
    assert all(torch.equal(again[name], tensor) for name, tensor in before.items())


def test_gradients_reach_mapped_weights_and_leave_the_file_alone(source: Checkpoint) -> None:
    model = load_model(source, device=CPU)
    model.embed(torch.tensor([[1, 2]])).float().sum().backward()
    torch.optim.SGD([model.embedding], lr=1.0).step()
    fresh = load_model(open_checkpoint(source.path), device=CPU)
    assert not torch.equal(model.embedding, fresh.embedding)


MEASURE = """
import sys, torch
from canvaslm.checkpoint import open_checkpoint
from canvaslm.engine.load import load_model

def memory(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

folder, dtype = sys.argv[1], getattr(torch, sys.argv[2])
torch.zeros(10).bfloat16().float().sum()  # what torch itself takes is not counted
open("/proc/self/clear_refs", "w").write("5")  # the peak starts from here
before = memory("VmRSS")
model = load_model(open_checkpoint(folder), device=torch.device("cpu"), dtype=dtype)
with torch.no_grad():
    for tensor in model.state_dict().values():
        tensor.view(-1)[::1024].float().sum()  # touch every page
weights = sum(tensor.nbytes for tensor in model.state_dict().values())
print(weights, memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_loading_never_holds_the_weights_twice(tmp_path: Path, dtype: str) -> None:
    """200 MB of weights, measured from outside: the peak is at most the weights and 10 %."""
    config = reduced(preset("2b"), layers=6, scale=0.17)
    folder = new_checkpoint(config, tmp_path / "large")
    command = [sys.executable, "-c", MEASURE, str(folder), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    weights, peak = map(int, done.stdout.split())
    assert weights > 190e6
    assert peak <= 1.1 * weights
