"""Sharded training refuses batches that are made of the model's own outputs, with the reason."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import MIXTURES, tiny_recipe

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.distil.data import Fewer
from canvaslm.training.processes import Shards
from canvaslm.training.trainer import Trainer

RECIPE = """\
from dataclasses import replace

from canvaslm.training.sudoku import sudoku
from canvaslm.training.sudoku_stages import Stage

recipe = sudoku(size=64, layers=3, stages=(Stage(documents=4, alone=6),), own={own}, bfloat16=False)
recipe = replace(recipe, data=replace(recipe.data, pool=4, held_out_pool=2))
"""


class Half(Shards):
    """One of two processes that is not told of the other."""

    def __init__(self) -> None:
        self.rank, self.size = 0, 2


def test_own_outputs_are_refused_before_the_first_step(tokenizer: Tokenizer) -> None:
    late = Mixture(tasks={"ask": 1.0}, documents=2, canvas_length=8, causal_share=0.0, since=5)
    recipe = replace(tiny_recipe(), data=Fewer(anchor=MIXTURES, walked=(late,)))
    with pytest.raises(TrainingError, match=r"own outputs \(Puzzles.*without --sharded"):
        Trainer(recipe, tokenizer, device=torch.device("cpu"), group=Half())


@pytest.mark.slow  # two processes that import everything
def test_puzzles_with_own_outputs_are_not_sharded(tmp_path: Path) -> None:
    file, out = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(RECIPE.format(own=0.5))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "canvaslm", "train", file, "--out", out, "--sharded"],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [2, 2]
    assert "the model's own outputs (Puzzles, Fewer)" in said[0]
    assert all("train without --sharded" in text for text in said)
    assert not any("Traceback" in text for text in said)
