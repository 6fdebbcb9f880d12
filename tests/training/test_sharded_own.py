"""Sharded training refuses batches that are made of the model's own outputs, with the reason."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from canvaslm.errors import TrainingError
from canvaslm.training.data.batch import Micro
from canvaslm.training.processes import Shards
from canvaslm.training.sudoku import GridModel, sudoku
from canvaslm.training.sudoku_data import Puzzles
from canvaslm.training.sudoku_stages import Stage

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


def puzzles(folder: Path, **changes: object) -> list[Micro]:
    """The micro-batches of a step."""
    data = sudoku(stages=(Stage(documents=4, alone=6),)).data
    start = GridModel(hidden_size=64, num_layers=3)
    tokenizer = start.tokenizer(folder, seed=0)
    assert isinstance(data, Puzzles)
    few = replace(data, pool=4, held_out_pool=2, **changes)  # type: ignore[arg-type]
    return list(few.open(tokenizer, start.config(tokenizer), seed=0).micros(0))


def test_own_outputs_are_not_shared_out(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"own outputs \(Puzzles.*without --sharded"):
        Half().share(puzzles(tmp_path, own_share=0.5))


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
