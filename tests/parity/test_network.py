"""Our network and transformers' give the same logits and K/V, for any configuration."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from tests.parity.float64 import Float64
from tests.parity.oracle import (
    VOCABULARY,
    Answer,
    Request,
    ask_oracle,
    oracle_model,
    requests,
    save_oracle,
    text_configs,
)
from tests.parity.ours import ask_ours
from torch import Tensor
from transformers import Gemma4TextConfig, Gemma4TextModel

from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig

CPU = torch.device("cpu")
LARGEST_ERROR = 1e-4


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative error in norm."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def assert_equal(ours: Answer, theirs: Answer, *, largest: float) -> None:
    assert error(ours.canvas, theirs.canvas) <= largest
    for row in range(len(theirs.causal)):
        assert error(ours.causal[row], theirs.causal[row]) <= largest
        for kind in ("keys", "values"):
            pairs = zip(getattr(ours, kind)[row], getattr(theirs, kind)[row], strict=True)
            for mine, reference in pairs:
                assert mine.shape == reference.shape
                assert error(mine, reference) <= largest


@settings(max_examples=40)
@given(text_configs(), requests())
def test_logits_and_kv_equal_the_oracle(text: dict[str, Any], request: Request) -> None:
    model = oracle_model(text, canvas_length=8)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = open_checkpoint(save_oracle(model, Path(folder)))
        ours = ask_ours(load_model(checkpoint, device=CPU), request)
    assert_equal(ours, ask_oracle(model, request), largest=LARGEST_ERROR)


@settings(max_examples=10)
@given(text_configs(), requests())
def test_float32_stays_within_rounding_of_float64(text: dict[str, Any], request: Request) -> None:
    ours, _, exact = three_answers(oracle_model(text, canvas_length=8), request)
    assert all(error(mine, true) <= 1e-5 for mine, true in zip(ours, exact, strict=True))


def test_bfloat16_is_as_close_to_float64_as_the_oracle() -> None:
    """One request may route a token elsewhere, so it is the median over many that must agree."""
    errors: list[tuple[float, float]] = []

    @settings(max_examples=20)
    @given(text_configs(), requests())
    def measure(text: dict[str, Any], request: Request) -> None:
        model = oracle_model(text, canvas_length=8).to(torch.bfloat16)
        for mine, reference, true in zip(*three_answers(model, request), strict=True):
            errors.append((error(mine, true), error(reference, true)))

    measure()
    ours, theirs = (median(values) for values in zip(*errors, strict=True))
    assert ours <= 1.25 * theirs


def three_answers(model: Any, request: Request) -> list[tuple[Tensor, Tensor]]:
    """Causal and canvas logits of the first row: ours, the oracle's and those in float64."""
    previous = None if request.previous_BLV is None else request.previous_BLV[:1]
    alone = Request(request.prompts[:1], 0, request.canvas_BL[:1], previous)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = open_checkpoint(save_oracle(model, Path(folder)))
        ours, theirs = ask_ours(load_model(checkpoint, device=CPU), alone), ask_oracle(model, alone)
        return [(a.causal[0], a.canvas[0]) for a in (ours, theirs)] + [exact(checkpoint, alone)]


def exact(checkpoint: Checkpoint, request: Request) -> tuple[Tensor, Tensor]:
    network = Float64(checkpoint)
    previous = None if request.previous_BLV is None else request.previous_BLV[0]
    causal = network.encode(request.prompts[0])
    return causal, network.denoise(request.canvas_BL[0].tolist(), previous)


ROPE = RopeConfig(theta=1e4)
DENSE = ModelConfig(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    layers=(
        LayerConfig(heads=4, kv_heads=2, head_dim=8, window=4, rope=ROPE),
        LayerConfig(heads=4, kv_heads=1, head_dim=16, window=None, rope=ROPE),
    ),
    canvas_length=6,
    max_positions=64,
)


def dense_request(*, signal: bool) -> Request:
    generator = torch.Generator().manual_seed(3)
    canvas = torch.randint(VOCABULARY, (1, 6), generator=generator)
    previous = 3 * torch.randn(1, 6, VOCABULARY, generator=generator) if signal else None
    return Request(
        [torch.randint(VOCABULARY, (9,), generator=generator).tolist()], 0, canvas, previous
    )


@pytest.mark.parametrize("signal", [False, True])
def test_a_dense_network_equals_the_float64_definition(tmp_path: Path, signal: bool) -> None:
    new_checkpoint(DENSE, tmp_path / "dense", seed=1, dtype=torch.float32)
    checkpoint, request = open_checkpoint(tmp_path / "dense"), dense_request(signal=signal)
    assert checkpoint.config == DENSE
    ours = ask_ours(load_model(checkpoint, device=CPU), request)
    causal, canvas = exact(checkpoint, request)
    assert error(ours.causal[0], causal) <= 1e-5
    assert error(ours.canvas[0], canvas) <= 1e-5


def test_a_dense_encoder_equals_gemma_4(tmp_path: Path) -> None:
    new_checkpoint(DENSE, tmp_path / "dense", seed=2, dtype=torch.float32)
    checkpoint = open_checkpoint(tmp_path / "dense")
    text = dict(checkpoint.raw_config["text_config"], model_type="gemma4_text")
    text |= {"attention_k_eq_v": True, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
    text |= {"use_bidirectional_attention": None}
    oracle = Gemma4TextModel(Gemma4TextConfig(**text)).eval()
    weights = {
        name.removeprefix("model.decoder."): tensor.load(dtype=torch.float32, device=CPU)
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("model.decoder.") and "self_conditioning" not in name
    }
    oracle.load_state_dict(weights, strict=True)
    request = dense_request(signal=False)
    with torch.no_grad():
        hidden = oracle(input_ids=torch.tensor(request.prompts)).last_hidden_state
        model = load_model(checkpoint, device=CPU)
        assert error(ask_ours(model, request).causal[0], model.unembed(hidden)[0]) <= 1e-5
