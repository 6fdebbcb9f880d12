"""Two processes end together: told to stop, at a number that is none, on a state that is broken."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.cli.test_train import RECIPE
from tests.training.several import recipe_of
from tests.training.test_group import curve, ends, folder, same, two
from tests.training.test_start import CONFIG

from canvaslm.engine.create import new_checkpoint
from canvaslm.training.diverged import BATCH
from canvaslm.training.loop import train
from canvaslm.training.state import STATE, load_state, save_state


def begun(out: Path, process: subprocess.Popen[Any], steps: int = 2) -> None:
    """Wait until so many steps are done."""
    deadline = time.monotonic() + 200
    log = out / "log.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) >= steps):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def last(said: str) -> str:
    """The last line, without the rank that PyTorch puts before it."""
    return said.splitlines()[-1].partition("]: ")[2]


LONG = {"steps": 500, "save_every": 500, "watch": None}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_told_to_stop_stop_at_the_same_step_with_a_state_that_goes_on(
    tmp_path: Path, tokenizer_files: dict[str, bytes], number: signal.Signals
) -> None:
    out, whole = (folder(tmp_path / name, tokenizer_files) for name in ("run", "whole"))
    with two({"jobs": [{"out": str(out)} | LONG]}) as processes:
        begun(out, processes[0])
        for process in processes:
            process.send_signal(number)
            process.send_signal(number)  # a second one must not stop the saving
        for code, said in ends(processes):
            assert code != 0
            assert last(said) == "KeyboardInterrupt"
    stopped = load_state(out)[1]
    assert stopped == len(curve(out))
    steps = {"steps": stopped + 1, "watch": None}
    train(recipe_of(**steps), whole, way="plain")
    train(recipe_of(**steps), out, resume=True, way="plain")
    same(whole, out)


@pytest.mark.parametrize("sharded", [False, True], ids=["replicas", "shards"])
def test_a_nan_in_one_share_stops_all_with_that_share_saved(
    tmp_path: Path, tokenizer_files: dict[str, bytes], sharded: bool
) -> None:
    out = folder(tmp_path / "run", tokenizer_files)
    job = {"out": str(out), "steps": 9, "save_every": 2, "watch": None}
    with two({"jobs": [job], "nan": 3, "sharded": sharded}) as processes:
        (code, said), (other, reason) = ends(processes)
    assert (code, other) == (1, 1)
    problem = "not finite at step 3, ask: the loss is not finite"
    assert f"TrainingError: process 1 of 2 failed: {problem}" in said
    assert last(reason).startswith(f"canvaslm.errors.DivergedError: {problem}")
    assert last(reason).endswith(f"Its batch is in {out / BATCH}")
    assert load_file(out / BATCH)["documents_BN"].shape[0] == 1  # of 3 documents
    assert (load_state(out)[1], len(curve(out))) == (2, 3)
    train(recipe_of(steps=4, watch=None, save_every=2), out, resume=True, way="plain")
    assert load_state(out)[1] == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [("cut", "is no training state"), ("foreign", "the saved state is of another model")],
)
def test_a_broken_state_ends_both_with_the_reason_and_stays(
    tmp_path: Path, tokenizer_files: dict[str, bytes], damage: str, said: str
) -> None:
    out = folder(tmp_path / "run", tokenizer_files)
    train(recipe_of(steps=1), out, way="plain")
    if damage == "cut":
        (out / STATE).write_bytes((out / STATE).read_bytes()[:-50])
    else:
        tensors, step = load_state(out)
        name = "model.norm.weight"
        save_state(out, tensors | {name: tensors[name][:-1].clone()}, step)
    before = (out / STATE).read_bytes()
    with two({"jobs": [{"out": str(out), "steps": 2, "resume": True}], "sharded": True}) as both:
        found = ends(both)
    assert [code for code, _ in found] == [1, 1]
    assert all(said in text for _, text in found)
    assert (out / STATE).read_bytes() == before


@pytest.mark.slow  # three processes that import everything
def test_ctrl_c_to_torchrun_saves_and_says_so(
    tmp_path: Path, tokenizer_files: dict[str, bytes]
) -> None:
    base = new_checkpoint(CONFIG, tmp_path / "base", extra_files=dict(tokenizer_files))
    data, recipe, out = tmp_path / "data.jsonl", tmp_path / "mine.py", tmp_path / "run"
    data.write_text((json.dumps({"prompt": "a", "answer": "b"}) + "\n") * 9)
    recipe.write_text(RECIPE.format(base=str(base), data=str(data)))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--no-python",
    ]
    ours = [sys.executable, "-m", "canvaslm", "train", str(recipe), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--standalone", *ours, "--steps", "100000", "--sharded"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        begun(out, process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode != 0
    steps = load_state(out)[1]
    assert steps == len(curve(out))
    assert f"canvaslm: stopped: {out} holds its state after {steps} steps" in said
