"""A grown network computes what the one it was made from does, and can learn more."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.training.test_objective import small_model

from canvaslm.errors import TrainingError
from canvaslm.model.presets import pocket
from canvaslm.model.transformer import Transformer
from canvaslm.training.attend import RecordingCausal
from canvaslm.training.grow import grow, sources
from canvaslm.training.pocket import initialise_for_training
from canvaslm.training.sudoku import GridModel


def deeper(layers: int) -> Transformer:
    config = pocket(hidden_size=64, layers=3, vocab_size=400)
    shapes = (*[config.layers[0]] * (layers - 1), config.layers[-1])
    model = Transformer(dataclasses.replace(config, layers=shapes))
    initialise_for_training(model, seed=1)
    return model.double()


def logits(model: Transformer) -> torch.Tensor:
    ids_BN, place_BN = torch.arange(30).view(2, 15), torch.arange(15)[None]
    return model.unembed(model.encode(ids_BN, place_BN, RecordingCausal(model.config)))


def test_it_computes_the_same() -> None:
    small = small_model(1024)
    large = deeper(6)
    grow(large, dict(small.named_parameters()))
    torch.testing.assert_close(logits(large), logits(small))


def test_new_layers_learn() -> None:
    large = deeper(6)
    grow(large, dict(small_model(1024).named_parameters()))
    logits(large).square().sum().backward()
    gradient = large.layers[1].attention_out.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(("before", "after"), [(3, 6), (6, 12), (1, 3), (2, 2)])
def test_old_layers_keep_their_order_and_the_last_is_last(before: int, after: int) -> None:
    found = sources(before, after)
    assert [old for old, new in found if not new] == list(range(before))
    assert found[-1] == (before - 1, False)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TrainingError, match="multiple"):
        sources(6, 9)
    with pytest.raises(TrainingError, match="no counterpart"):
        grow(deeper(6), {"layers.0.x": torch.zeros(1)})


def test_a_run_without_averages_is_refused(tmp_path: Path) -> None:
    save_file(
        {"weights.embedding": torch.zeros(2, 2)}, tmp_path / "state.safetensors", {"step": "1"}
    )
    start = GridModel(num_layers=3, grown=str(tmp_path))
    with pytest.raises(TrainingError, match="averaged weights"):
        start.network(start.tokenizer(tmp_path, seed=0), seed=0)
