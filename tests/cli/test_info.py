"""`canvaslm info`."""

import json
from pathlib import Path

import torch
from tests.cli.conftest import VOCABULARY, Run

import canvaslm


def test_counts_are_those_of_the_loaded_network(run: Run, checkpoint: Path) -> None:
    document = json.loads(run("info", checkpoint, "--json").out)
    network = canvaslm.load(checkpoint).model
    # The scalar of each layer is no trained parameter of ours, and the release counts it as one.
    loaded = sum(p.numel() for p in network.parameters()) + len(network.config.layers)
    assert document["parameters"] == loaded
    one_expert = 3 * 16 * 8
    assert document["active_parameters"] == document["parameters"] - one_expert
    assert document["bytes"] >= document["parameters"] * torch.bfloat16.itemsize
    assert document["dtype"] == "bfloat16"
    assert document["canvas_length"] == 128
    assert document["tokenizer"]["vocabulary"] <= VOCABULARY


def test_the_plain_page_says_the_same(run: Run, checkpoint: Path) -> None:
    document = json.loads(run("info", checkpoint, "--json").out)
    page = run("info", checkpoint).out
    assert f"{document['parameters']:,}" in page
    assert document["layers"][0] in page
    assert "\x1b" not in page


def test_a_checkpoint_without_tokenizer_has_none(run: Run, tmp_path: Path) -> None:
    run("new", tmp_path / "new", "--layers", 1, "--scale", 0.1)
    assert json.loads(run("info", tmp_path / "new", "--json").out)["tokenizer"] is None


def test_a_missing_model_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("info", tmp_path / "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "nowhere" in done.err
