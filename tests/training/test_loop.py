"""A run can be stopped, killed and resumed, and keeps its folder whole."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import tiny_recipe

from canvaslm.errors import StorageError, TrainingError
from canvaslm.training.loop import train
from canvaslm.training.state import STATE, load_state, save_state

KILLED = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from canvaslm.training.loop import train
from tests.training.conftest import tiny_recipe
train(tiny_recipe(steps=500, decay=0.0), Path({out!r}), way="plain")
"""


def same_state(one: Path, other: Path) -> bool:
    (first, step), (second, other_step) = load_state(one), load_state(other)
    return step == other_step and all(torch.equal(first[n], second[n]) for n in first)


def test_a_run_ends_in_a_checkpoint_that_answers(folder: Path) -> None:
    import canvaslm

    records: list[dict[str, float]] = []
    model = train(tiny_recipe(steps=3), folder, way="plain", report=records.append)
    assert [record["step"] for record in records] == [0, 1, 2]
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]
    result = canvaslm.load(model).generate(
        "Is it?", params=canvaslm.Params(max_tokens=5, max_steps=2, seed=1)
    )
    assert result.usage.completion_tokens <= 5


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit])
def test_a_stopped_run_is_resumed_as_if_nothing_had_happened(
    folder: Path,
    other: Path,
    stopped: type[BaseException],
) -> None:
    recipe = tiny_recipe(steps=6, decay=0.0)
    train(recipe, folder, way="plain")

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 2:
            raise stopped

    with pytest.raises(stopped):
        train(recipe, other, way="plain", report=stop)
    assert load_state(other)[1] == 3
    train(recipe, other, resume=True, way="plain")
    assert same_state(folder, other)


def test_a_killed_run_keeps_its_last_saved_state(folder: Path, repository: Path) -> None:
    script = KILLED.format(root=str(repository), out=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], cwd=repository)
    try:
        deadline = time.monotonic() + 120
        while not (folder / STATE).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    step = load_state(folder)[1]
    assert step >= 2
    assert step % 2 == 0
    train(tiny_recipe(steps=step + 2, decay=0.0), folder, resume=True, way="plain")
    assert load_state(folder)[1] == step + 2


def test_resume_without_a_run_and_start_over_one_are_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        train(tiny_recipe(), folder, resume=True)
    save_state(folder, {"x": torch.ones(1)}, 1)
    with pytest.raises(TrainingError, match="already holds a run"):
        train(tiny_recipe(), folder)


def test_a_run_until_no_step_is_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match="at least 1 step, got 0"):
        train(tiny_recipe(), folder, until=0)


def test_a_model_on_the_way_is_that_of_the_steps_so_far_and_the_run_goes_on(
    folder: Path, other: Path
) -> None:
    recipe = tiny_recipe(steps=6, decay=0.0)
    train(recipe, other, way="plain")
    model = train(recipe, folder, until=3, export=True, way="plain")
    assert model == folder / "model"
    tensors, step = load_state(folder)
    assert step == 3
    written = load_file(model / "model.safetensors")
    name = "model.decoder.norm.weight"
    assert torch.equal(written[name], tensors["average.norm.weight"])
    assert train(recipe, folder, resume=True, until=3, export=True, way="plain") == model
    train(recipe, folder, resume=True, way="plain")
    assert same_state(folder, other)
    assert not torch.equal(load_file(model / "model.safetensors")[name], written[name])


def test_a_model_on_the_way_to_nowhere_is_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match="needs until"):
        train(tiny_recipe(), folder, export=True)


def test_another_recipe_does_not_go_on_with_a_run(folder: Path) -> None:
    train(tiny_recipe(steps=1), folder, way="plain")
    with pytest.raises(TrainingError, match="seed, clip differ"):
        train(tiny_recipe(steps=2, seed=9, clip=0.5), folder, resume=True, way="plain")


def test_a_full_disk_keeps_the_old_state(tmp_path: Path) -> None:
    save_state(tmp_path, {"x": torch.ones(3)}, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the disk ends after a page
    try:
        with pytest.raises(StorageError, match="free some space"):
            save_state(tmp_path, {"x": torch.ones(100_000)}, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    tensors, step = load_state(tmp_path)
    assert (tensors["x"].tolist(), step) == ([1, 1, 1], 1)
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_run_on_a_full_disk_goes_on_once_there_is_room(folder: Path, other: Path) -> None:
    recipe = tiny_recipe(steps=6, save_every=1, decay=0.0)
    train(recipe, other, way="plain")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(record: dict[str, float]) -> None:
        if record["step"] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))

    try:
        with pytest.raises(StorageError, match="last saved state"):
            train(recipe, folder, way="plain", report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_state(folder)[1] == 2
    train(recipe, folder, resume=True, way="plain")
    assert same_state(other, folder)


def test_a_log_that_cannot_be_written_is_a_storage_error(folder: Path) -> None:
    (folder / "log.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*log\.jsonl"):
        train(tiny_recipe(), folder, way="plain")


@pytest.mark.parametrize("damage", ["truncated", "text", "no step"])
def test_a_damaged_state_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / STATE
    if damage == "no step":
        from safetensors.torch import save_file

        save_file({"x": torch.ones(1)}, path)
    else:
        save_state(tmp_path, {"x": torch.ones(1000)}, 1)
        content = path.read_bytes()
        path.write_bytes(content[:-100] if damage == "truncated" else b"not tensors at all")
    with pytest.raises(TrainingError, match="no training state"):
        load_state(tmp_path)
