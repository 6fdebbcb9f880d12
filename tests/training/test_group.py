"""Two processes come to what one comes to, and go on with what one has begun, and the reverse."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.several import recipe_of

from canvaslm.errors import TrainingError
from canvaslm.kernels.choose import training
from canvaslm.training.launch import launched
from canvaslm.training.loop import train
from canvaslm.training.state import load_state

SCRIPT = Path(__file__).parent / "several.py"
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # norms are computed in float32, the rest here in float64


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


@contextmanager
def two(request: dict[str, Any]) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes with what torchrun tells them, without its own end of a failed run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(request)],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def curve(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    timed = ("seconds", "tokens_per_second", "operations_per_second")
    return [{key: value for key, value in line.items() if key not in timed} for line in lines]


def same(one: Path, other: Path) -> None:
    for before, after in zip(curve(one), curve(other), strict=True):
        assert after == pytest.approx(before, rel=1e-6)
    (first, step), (second, other_step) = load_state(one), load_state(other)
    assert (step, first.keys()) == (other_step, second.keys())
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tokenizer_files: dict[str, bytes]) -> Path:
    out = folder(tmp_path_factory.mktemp("one") / "run", tokenizer_files)
    train(recipe_of(), out, way="plain")
    return out


@pytest.mark.parametrize("sharded", [False, True], ids=["replicas", "shards"])
def test_two_processes_do_what_one_does_and_either_resumes_the_other(
    tmp_path: Path, tokenizer_files: dict[str, bytes], whole: Path, sharded: bool
) -> None:
    by_two, by_one, all_by_two = (folder(tmp_path / n, tokenizer_files) for n in "abc")
    train(recipe_of(steps=2), by_one, way="plain")
    jobs = [
        {"out": str(all_by_two)},
        {"out": str(by_two), "steps": 2},
        {"out": str(by_one), "resume": True},
    ]
    with two({"jobs": jobs, "sharded": sharded}) as processes:
        for code, said in ends(processes):
            assert code == 0, said
    same(whole, all_by_two)
    same(whole, by_one)
    train(recipe_of(), by_two, resume=True, way="plain")
    same(whole, by_two)
    assert (all_by_two / "model" / "model.safetensors").stat().st_size == (
        whole / "model" / "model.safetensors"
    ).stat().st_size


@pytest.mark.skipif(training() is None, reason="no kernels were compiled")
def test_two_processes_learn_fused_what_one_does(
    tmp_path: Path, tokenizer_files: dict[str, bytes]
) -> None:
    by_one, by_two = (folder(tmp_path / n, tokenizer_files) for n in "ab")
    train(recipe_of(exact=False), by_one, way="fused")
    with two({"jobs": [{"out": str(by_two), "exact": False, "way": "fused"}]}) as processes:
        for code, said in ends(processes):
            assert code == 0, said
    for before, after in zip(curve(by_one), curve(by_two), strict=True):
        assert after == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize(
    ("how", "sharded"),
    [("noised", False), ("noised", True), ("walked", False)],
    ids=["replicas", "shards", "walked"],
)
def test_two_processes_hold_an_adapter_as_one_does(
    tmp_path: Path, tokenizer_files: dict[str, bytes], how: str, sharded: bool
) -> None:
    by_one, by_two = (folder(tmp_path / n, tokenizer_files) for n in "ab")
    held: dict[str, Any] = {"held": how, "optimise": "AdamW"}
    train(recipe_of(**held), by_one, way="plain")
    with two({"jobs": [{"out": str(by_two), **held}], "sharded": sharded}) as processes:
        for code, said in ends(processes):
            assert code == 0, said
    lines = curve(by_one)
    scenes = "scenes/canvas" if how == "noised" else "scenes, walked/canvas"
    assert any(line.get(scenes, 0.0) > 0 for line in lines)
    for before, after in zip(lines, curve(by_two), strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-7)  # adapters are float32


def test_a_process_that_fails_ends_the_other_with_its_reason(
    tmp_path: Path, tokenizer_files: dict[str, bytes]
) -> None:
    out = folder(tmp_path / "run", tokenizer_files)
    with two({"jobs": [{"out": str(out)}], "fail": True}) as processes:
        (code, said), (other, reason) = ends(processes)
    assert code != 0
    assert other != 0
    assert "the reason of it all" in reason
    assert "TrainingError: process 1 of 2 failed: the reason of it all" in said


def test_one_process_told_to_stop_stops_both_at_the_same_step_with_a_saved_state(
    tmp_path: Path, tokenizer_files: dict[str, bytes]
) -> None:
    out = folder(tmp_path / "run", tokenizer_files)
    job = {"out": str(out), "steps": 500, "save_every": 500, "watch": None}
    with two({"jobs": [job], "sharded": True}) as processes:
        deadline = time.monotonic() + 100
        while not (out / "log.jsonl").exists() and time.monotonic() < deadline:
            assert processes[0].poll() is None
            time.sleep(0.05)
        processes[1].send_signal(signal.SIGINT)
        for code, said in ends(processes):
            assert code != 0
            assert "KeyboardInterrupt" in said
    assert load_state(out)[1] == len(curve(out))


def test_sharded_needs_several_processes() -> None:
    with pytest.raises(TrainingError, match="torchrun"), launched(sharded=True):
        pass
