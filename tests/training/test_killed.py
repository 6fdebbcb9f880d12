"""Killed at random moments and resumed each time, a run comes to the very same weights."""

import subprocess
import sys
from pathlib import Path

from tests.training.test_loop import same_state

SCRIPT = """
import os, random, signal, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import torch
from canvaslm.training.loop import train
from canvaslm.training.state import STATE
from tests.training.conftest import tiny_recipe
from canvaslm.training.recipe import Watch

torch.set_num_threads(1)
recipe = tiny_recipe(steps=14, save_every=1, watch=Watch(every=5, batches=1))

def begin(out):
    child = os.fork()
    if child == 0:
        train(recipe, out, resume=(out / STATE).exists())
        os._exit(0)
    return child

assert os.waitpid(begin(Path({whole!r})), 0)[1] == 0
rng, kills, killed = random.Random({seed}), 0, Path({killed!r})
while True:
    child = begin(killed)
    end = time.monotonic() + rng.uniform(0.05, 0.9)
    while time.monotonic() < end and (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        time.sleep(0.005)
    if done[0]:
        assert done[1] == 0
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills += 1
print(kills)
"""


def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, tokenizer_files: dict[str, bytes], repository: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        for name, content in tokenizer_files.items():
            (folder / name).write_bytes(content)
    script = SCRIPT.format(root=str(repository), whole=str(whole), killed=str(killed), seed=1)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, cwd=repository
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    assert same_state(whole, killed)
    model = "model/model.safetensors"
    assert (whole / model).read_bytes() == (killed / model).read_bytes()
    assert steps(whole) == steps(killed) == list(range(14))


def steps(folder: Path) -> list[int]:
    import json

    return [
        int(json.loads(line)["step"]) for line in (folder / "log.jsonl").read_text().splitlines()
    ]
