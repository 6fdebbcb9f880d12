"""What a run says of itself: operations counted, losses drawn, event files."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from tests.training.conftest import tiny_recipe

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.board import TensorBoard
from canvaslm.training.files import rewind
from canvaslm.training.loop import train
from canvaslm.training.plot import curves, figure_of, plot_losses
from canvaslm.training.speed import bfloat16_gain, operations, peak
from canvaslm.training.trainer import Trainer

BOARD = importlib.util.find_spec("tensorboard") is not None


def test_operations_are_those_that_torch_counts(tokenizer: Tokenizer) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    trainer = Trainer(tiny_recipe(), tokenizer, device=torch.device("cpu"))
    micro = trainer.feed.micros(0)[1]
    with FlopCounterMode(display=False) as counter:
        trainer.learn(micro)
    counted = operations(trainer.model.config, micro.batch)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_the_peak_is_above_what_a_product_reaches() -> None:
    assert peak(torch.device("cpu"), bfloat16=False) > 1e9


def test_the_gain_of_bfloat16_is_its_speed_over_that_of_float32() -> None:
    speeds = {torch.bfloat16: 3.0, torch.float32: 2.0}
    cpu = torch.device("cpu")
    assert bfloat16_gain(cpu, speed=lambda device, kind, side: speeds[kind]) == 1.5
    assert bfloat16_gain(cpu) > 0


def test_a_log_goes_back_to_the_saved_step(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f'{{"step": {n}.0}}\n' for n in range(6)) + '{"step": 6.')
    rewind(log, 4)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 1, 2, 3]
    rewind(tmp_path / "none.jsonl", 3)


def test_losses_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(TrainingError, match="nothing to draw"):
        plot_losses(tmp_path)
    records = [{"step": n, "ask/canvas": 1 / (n + 1), "norm": 1.0} for n in range(200)]
    records[-1]["held_out/loss"] = 0.5
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    png, svg = plot_losses(tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text()


def test_a_panel_holds_the_losses_of_a_mixture_that_were_any(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [
        {"step": n, "ask/canvas": 0.5, "ask/causal": 0.0, "ask, walked/canvas": n, "seconds": 1.0}
        for n in range(2)
    ]
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert curves(log) == {
        "ask": {"canvas": [(0, 0.5), (1, 0.5)]},
        "ask, walked": {"canvas": [(0, 0), (1, 1)]},
    }
    log.write_text(json.dumps({"step": 0, "ask/canvas": 0.0}) + "\n")  # an adapter's first step
    assert curves(log) == {"ask": {"canvas": [(0, 0.0)]}}


def test_each_mixture_has_a_panel_and_measurements_are_points() -> None:
    pytest.importorskip("matplotlib")
    line = [(float(step), 1.0) for step in range(200)]
    names = ["ask", "code", "json", "scenes", "star, wide"]
    held_out = {"loss": line, "canvas": line, "causal": line}
    figure = figure_of({name: {"canvas": line} for name in names} | {"held_out": held_out})
    panels = {panel.get_title(): panel for panel in figure.axes if panel.get_visible()}
    assert sorted(panels) == sorted([*names, "held_out"])
    assert [len(one.get_xdata()) for one in panels["ask"].lines] == [50]
    measured = panels["held_out"].lines
    assert [len(one.get_xdata()) for one in measured] == [200] * 3
    assert len({one.get_color() for one in measured}) == 3
    assert {one.get_marker() for one in measured} == {"o"}


@pytest.mark.skipif(BOARD, reason="tensorboard is installed")
def test_tensorboard_that_is_not_there_is_said_before_the_first_step(folder: Path) -> None:
    with pytest.raises(TrainingError, match="TensorBoard is not installed"):
        train(tiny_recipe(steps=1), folder, way="plain", tensorboard=True)
    assert not (folder / "log.jsonl").exists()


@pytest.mark.skipif(not BOARD, reason="needs tensorboard")
def test_event_files_hold_the_losses(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, step=0)
    board.write({"step": 0.0, "loss": 1.5})
    board.close()
    assert [path for path in tmp_path.iterdir() if "tfevents" in path.name]
