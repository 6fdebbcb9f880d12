"""`canvaslm quantize`, and what it writes when used."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import VOCABULARY, Run

import canvaslm
from canvaslm.cli.output import measured
from canvaslm.engine.create import new_checkpoint
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

LAYER = LayerConfig(heads=2, kv_heads=1, head_dim=32, window=None, rope=RopeConfig(theta=1e4))
CONFIG = ModelConfig(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=64,
    layers=(LAYER,),
    experts=ExpertsConfig(count=2, top_k=1, intermediate_size=32),
    canvas_length=32,
    max_positions=1024,
    eos_ids=(1,),
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_tokenizer(["a square and a circle", "def f(x):"], vocab_size=VOCABULARY)
    folder = tmp_path_factory.mktemp("plain") / "model"
    return new_checkpoint(CONFIG, folder, extra_files=tokenizer_files(tokenizer))


def test_what_is_written_loads_and_answers(run: Run, plain: Path, tmp_path: Path) -> None:
    done = run("quantize", plain, tmp_path / "out")
    assert done.code == 0
    *_, last = (line for line in done.out.splitlines() if line.startswith("  all"))
    assert re.fullmatch(r"  all( +\d\.\d\d %){3}\s*", last)
    head = next(line for line in done.out.splitlines() if "experts" in line)
    assert head.rstrip().index("experts") + len("experts") == len(last.rstrip())
    assert "MB, was" in done.out
    params = canvaslm.Params(max_tokens=8, max_steps=2, seed=3)
    written = canvaslm.load(tmp_path / "out").generate("a square", params=params)
    loaded = canvaslm.load(plain, quant="int4").generate("a square", params=params)
    assert written.token_ids == loaded.token_ids
    info = run("info", tmp_path / "out", "--json")
    assert json.loads(info.out)["quantised"] == ["int-quantized", "pack-quantized"]
    weights = {"weights": "int4 experts, int8 dense, bfloat16 embedding"}
    floats, rounded = canvaslm.load(plain), canvaslm.load(tmp_path / "out")
    assert measured(rounded, None) == measured(floats, None) | weights | {"dtype": "bfloat16"}


def test_json_is_the_report_that_lies_beside_the_weights(
    run: Run, plain: Path, tmp_path: Path
) -> None:
    options = ("--experts", "mxfp4", "--dense", "int4", "--embedding", "int8", "--group", 32)
    done = run("quantize", plain, tmp_path / "out", *options, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document.pop("path") == str(tmp_path / "out")
    assert document == json.loads((tmp_path / "out" / "quantization_report.json").read_text())
    assert document["scheme"] == {
        "experts": "mxfp4",
        "dense": "int4",
        "embedding": "int8",
        "group": 32,
    }
    assert set(document["relative_output_error"]) == {"attention", "mlp", "experts", "embedding"}
    params = canvaslm.Params(max_tokens=8, max_steps=2, seed=3)
    assert canvaslm.load(tmp_path / "out").generate("a square", params=params).token_ids


def test_a_text_to_calibrate_on_changes_the_rounding(run: Run, plain: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a square and a circle\n" * 20)
    for name, options in (("blind", ()), ("seeing", ("--calibrate", text))):
        done = run("quantize", plain, tmp_path / name, *options, "--json")
        assert done.code == 0
        assert json.loads(done.out)["calibrated"] == (name == "seeing")
    blind, seeing = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("blind", "seeing")
    )
    assert len(blind) == len(seeing)
    assert blind != seeing


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--experts", "int3"), "--experts"),
        (("--group", 128), "group must be 64, 32"),
        (("--group", 64), "32 inputs, which do not divide into groups of 64"),
        (("--experts", "keep", "--dense", "keep", "--embedding", "keep"), "nothing would be"),
        (("--calibrate", "/nowhere/text"), "cannot be read as text"),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Run, plain: Path, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    done = run("quantize", plain, tmp_path / "out", *options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert not list(tmp_path.iterdir())


def test_an_empty_text_and_a_folder_that_is_there(run: Run, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    done = run("quantize", plain, tmp_path / "out", "--calibrate", tmp_path / "empty")
    assert done.code == 2
    assert "is empty" in done.err
    assert run("quantize", plain, tmp_path / "out").code == 0
    assert run("quantize", plain, tmp_path / "out").code == 2
    assert run("quantize", plain, tmp_path / "out", "--overwrite").code == 0
    twice = run("quantize", tmp_path / "out", tmp_path / "twice")
    assert twice.code == 2
    assert "quantised already" in twice.err


def test_what_would_be_refused_is_refused_before_a_text_is_read(
    run: Run, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("a square")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    monkeypatch.setattr("canvaslm.engine.quantised.importance.measure_importance", None)
    for options in ((), ("--group", 64), ("--overwrite",)):
        done = run("quantize", plain, tmp_path / "out", "--calibrate", tmp_path / "text", *options)
        assert (done.code, done.out) == (2, "")


ENDED = """
import os, signal, sys
# whoever runs the tests may be deaf to them
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from canvaslm.cli.app import main
from canvaslm.engine.quantised.rounder import Rounder
taken = []
plain = Rounder.take
def take(self, matrix):
    taken.append(matrix)
    if len(taken) == 3:
        print(os.listdir(sys.argv[2]), flush=True)
        os.kill(os.getpid(), int(sys.argv[1]))
    return plain(self, matrix)
Rounder.take = take
main(["quantize", sys.argv[3], sys.argv[2] + "/out"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_nothing(
    plain: Path, tmp_path: Path, number: signal.Signals
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDED, str(int(number)), tmp_path, plain],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (128 + number, "")
    assert ".out." in done.stdout
    assert not list(tmp_path.iterdir())


def test_info_plans_the_memory(run: Run, plain: Path) -> None:
    done = run("info", plain, "--plan", "--quant", "int4", "--context", 512, "--batch", 2, "--json")
    memory = json.loads(done.out)["memory"]
    assert (memory["quant"], memory["context"], memory["batch"]) == ("int4", 512, 2)
    assert memory["fits"]
    assert memory["dtype"] is None
    assert "available" in run("info", plain, "--plan").out
    floats = json.loads(run("info", plain, "--plan", "--json").out)["memory"]
    assert (floats["quant"], floats["dtype"]) == (None, "float32")
    assert run("info", plain, "--context", 512).code == 2


def test_groups_differ_where_64_does_not_divide(run: Run, plain: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, hidden_size=128)
    folder = new_checkpoint(config, tmp_path / "mixed")
    assert run("quantize", folder, tmp_path / "out").code == 0
    raw = json.loads((tmp_path / "out" / "config.json").read_text())
    groups = raw["quantization_config"]["config_groups"].values()
    assert {group["weights"]["group_size"] for group in groups} == {None, 32, 64}
    assert canvaslm.load(tmp_path / "out").causal_logits([2, 3, 4]).isfinite().all()
