"""Folders rounded: what is in them, how much memory it takes, and what ends without a trace."""

import json
import re
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.sizes import arranged
from torch import Tensor

from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.engine.quantised.importance import measure_importance
from canvaslm.engine.quantised.matrices import matrices
from canvaslm.engine.quantised.read import quantise_model, read_state
from canvaslm.engine.quantised.rounder import Rounder
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.errors import CheckpointError, ParameterError, StorageError, TensorError
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ExpertsConfig
from canvaslm.model.presets import preset, reduced
from canvaslm.model.weights import State
from canvaslm.quant.scheme import SCHEMES, Scheme

SMALL = reduced(preset("pocket"), layers=3)
AS_IS = Scheme(experts="keep", dense="keep", embedding="keep")
NARROW = replace(
    SMALL, hidden_size=96, experts=ExpertsConfig(count=2, top_k=1, intermediate_size=48)
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    files = {"tokenizer.json": b"{}", "chat_template.jinja": b"{{ 1 }}"}
    folder = tmp_path_factory.mktemp("source") / "model"
    return open_checkpoint(
        new_checkpoint(SMALL, folder, seed=4, generation={"t_max": 0.5}, extra_files=files)
    )


def same(a: State, b: State) -> bool:
    assert a.keys() == b.keys()
    for name, one in a.items():
        other = b[name]
        if isinstance(one, Tensor):
            assert isinstance(other, Tensor)
            assert torch.equal(one, other)
            continue
        ones = [one] if isinstance(one, Weight) else one
        others = [other] if isinstance(other, Weight) else other
        assert not isinstance(others, Tensor)
        for x, y in zip(ones, others, strict=True):
            assert x.format == y.format
            assert torch.equal(x.data, y.data)
            assert (x.scale is None) == (y.scale is None)
            assert x.scale is None or (y.scale is not None and torch.equal(x.scale, y.scale))
    return True


@pytest.mark.parametrize("quant", ["int4", "int8", "mxfp4"])
def test_a_written_folder_and_rounding_while_loading_are_the_same(
    source: Checkpoint, tmp_path: Path, quant: str
) -> None:
    report = quantise_folder(source, tmp_path / "out", SCHEMES[quant])
    written = open_checkpoint(tmp_path / "out")
    loaded = quantise_model(source, SCHEMES[quant])
    model = load_model(source, device=torch.device("cpu"))
    assert same(read_state(written), loaded)
    assert same(quantise_model(model, SCHEMES[quant]), loaded)
    assert report.bytes_after == written.size < source.size
    assert arranged(loaded) < source.size


def test_everything_else_comes_along(source: Checkpoint, tmp_path: Path) -> None:
    report = quantise_folder(source, tmp_path / "out", Scheme())
    written = open_checkpoint(tmp_path / "out")
    assert written.config == source.config
    assert written.generation == {"t_max": 0.5}
    assert (written.path / "chat_template.jinja").read_bytes() == b"{{ 1 }}"
    assert (written.path / "tokenizer.json").is_file()
    kept = [n for n in written.tensors if n in source.tensors and "_proj" not in n]
    assert len(kept) > 30
    assert all(written.tensors[n].same_bytes(source.tensors[n]) for n in kept)
    conditioning = "model.decoder.self_conditioning.gate_proj.weight"
    assert written.tensors[conditioning].same_bytes(source.tensors[conditioning])
    assert not any("experts.gate_up_proj" in name for name in written.tensors)
    document = json.loads((written.path / "quantization_report.json").read_text())
    assert document == json.loads(report.encoded())
    assert set(report.whole) == {"attention", "mlp", "experts"}
    assert [entry["layer"] for entry in document["layers"]] == [0, 1, 2]
    assert 0.08 < report.whole["experts"] < 0.1
    assert report.whole["mlp"] < 0.01


def test_targets_name_every_rounded_module_and_no_other(source: Checkpoint, tmp_path: Path) -> None:
    quantise_folder(source, tmp_path / "out", Scheme(dense="int4", embedding="int8"))
    written = open_checkpoint(tmp_path / "out")
    groups = written.raw_config["quantization_config"]["config_groups"].values()
    rounded = {n.rpartition(".")[0] for n in written.tensors if n.endswith("weight_scale")}
    for module in {n.rpartition(".")[0] for n in written.tensors}:
        matched = [
            group["format"]
            for group in groups
            for target in group["targets"]
            if re.match(target.removeprefix("re:"), module)
        ]
        assert len(matched) == (module in rounded), module


def test_parts_can_be_kept(source: Checkpoint, tmp_path: Path) -> None:
    scheme = Scheme(experts="keep", dense="int8", embedding="keep")
    quantise_folder(source, tmp_path / "out", scheme)
    written = open_checkpoint(tmp_path / "out")
    name = "model.decoder.layers.0.experts.gate_up_proj"
    assert written.tensors[name].same_bytes(source.tensors[name])
    assert same(read_state(written), quantise_model(source, scheme))


def test_rounding_many_at_once_changes_nothing(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = torch.get_num_threads()
    for threads in (1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            quantise_folder(source, tmp_path / str(threads), Scheme())
    torch.set_num_threads(usual)
    one, three = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("1", "3"))
    assert one == three


def test_what_cannot_be_done_is_said_before_anything_is_written(
    source: Checkpoint, tmp_path: Path
) -> None:
    narrow = open_checkpoint(new_checkpoint(NARROW, tmp_path / "narrow"))
    with pytest.raises(ParameterError, match=r"gate_proj has 96 inputs.*groups of 64.*group=32"):
        quantise_folder(narrow, tmp_path / "out", Scheme(dense="int4", group=64, experts="int8"))
    with pytest.raises(ParameterError, match=r"experts.*has 48 inputs.*use int8 or keep"):
        quantise_folder(narrow, tmp_path / "out", Scheme())
    with pytest.raises(ParameterError, match=r"experts.*has 48 inputs"):
        quantise_model(narrow, SCHEMES["mxfp4"])
    with pytest.raises(ParameterError, match="nothing would be rounded"):
        quantise_folder(source, tmp_path / "out", AS_IS)
    quantise_folder(source, tmp_path / "once", Scheme())
    with pytest.raises(ParameterError, match="quantised already"):
        quantise_folder(open_checkpoint(tmp_path / "once"), tmp_path / "out", Scheme())
    assert not (tmp_path / "out").exists()


def test_too_small_a_disk_is_noticed_before_the_work(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    started = threading.Event()
    monkeypatch.setattr(Rounder, "take", lambda *_: started.set())
    with pytest.raises(StorageError, match="GB are free"):
        quantise_folder(source, tmp_path / "out", Scheme())
    assert not started.is_set()
    assert not list(tmp_path.iterdir())


def damage(source: Checkpoint, folder: Path, name: str, place: tuple[int, ...]) -> Checkpoint:
    """A copy with a NaN."""
    folder.mkdir()
    for file in source.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = {n: t.clone() for n, t in load_file(folder / "model.safetensors").items()}
    tensors[name][place] = torch.nan
    save_file(tensors, folder / "model.safetensors")
    return open_checkpoint(folder)


@pytest.fixture
def damaged(source: Checkpoint, tmp_path: Path) -> Checkpoint:
    name = "model.decoder.layers.1.experts.gate_up_proj"
    return damage(source, tmp_path / "damaged", name, (3, 70, 9))


def test_a_nan_ends_it_with_its_place_and_no_trace(damaged: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(TensorError, match=r"layers\.1\.experts\.3\.up_proj holds nan at \[6, 9\]"):
        quantise_folder(damaged, tmp_path / "out", Scheme())
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.decoder.embed_tokens.weight", (7, 104)),
        ("model.decoder.layers.0.input_layernorm.weight", (5,)),
        ("model.decoder.self_conditioning.gate_proj.weight", (2, 3)),
    ],
)
def test_a_nan_in_what_is_kept_is_found_too(
    source: Checkpoint, tmp_path: Path, name: str, place: tuple[int, ...]
) -> None:
    bad = damage(source, tmp_path / "bad", name, place)
    said = re.escape(f"holds nan at {list(place)}")
    with pytest.raises(TensorError, match=said):
        quantise_folder(bad, tmp_path / "out", Scheme())
    with pytest.raises(TensorError, match=said):
        quantise_model(bad, Scheme())
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]
    if "norm" in name:
        with pytest.raises(CheckpointError, match="is not finite while the text is read"):
            measure_importance(bad, [2, 3, 4])


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing(
    source: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise error

    with pytest.raises(error):
        quantise_folder(source, tmp_path / "out", Scheme(), progress=interrupt)
    assert not list(tmp_path.iterdir())
    assert not [t for t in threading.enumerate() if t.name.startswith("rounding")]


def test_an_old_folder_stays_until_the_new_one_is_whole(
    damaged: Checkpoint, source: Checkpoint, tmp_path: Path
) -> None:
    quantise_folder(source, tmp_path / "out", Scheme())
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(TensorError):
        quantise_folder(damaged, tmp_path / "out", Scheme(experts="int8"), overwrite=True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_a_queue_out_of_order_is_right_all_the_same(source: Checkpoint) -> None:
    todo = list(matrices(source.config))[:30]
    made: list[str] = []
    lock = threading.Lock()

    def make(matrix: object) -> object:
        with lock:
            made.append(matrix.module)  # type: ignore[attr-defined]
        return matrix

    with Rounder(todo, make, threads=2) as rounder:  # type: ignore[arg-type]
        for matrix in reversed(todo):
            assert rounder.take(matrix) is matrix
    assert sorted(made) == sorted(m.module for m in todo)


MEMORY = """
import resource, sys
from canvaslm.checkpoint import open_checkpoint
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.quant.scheme import Scheme
source = open_checkpoint(sys.argv[1])
quantise_folder(open_checkpoint(sys.argv[2]), sys.argv[3] + "/warm", Scheme())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
quantise_folder(source, sys.argv[3] + "/out", Scheme(embedding="int8"))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(source.size // 1024, after - before)
"""


def test_memory_holds_a_few_matrices_only(source: Checkpoint, tmp_path: Path) -> None:
    large = replace(
        SMALL,
        hidden_size=512,
        intermediate_size=512,
        experts=ExpertsConfig(count=8, top_k=2, intermediate_size=512),
    )
    folder = new_checkpoint(large, tmp_path / "large")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, folder, source.path, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    size, grown = map(int, done.stdout.split())
    assert size > 40_000
    assert grown < 10_000, f"{grown} kB of {size}"


def test_a_disk_that_fills_up_leaves_nothing(source: Checkpoint, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StorageError, match="could not be written"):
            quantise_folder(source, tmp_path / "out", Scheme())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
