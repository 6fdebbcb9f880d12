"""Speed changes no number beyond rounding."""

import shutil

import pytest
import torch
from tests.training.conftest import tiny_recipe

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training import objective
from canvaslm.training.compiled import group, keep_memory
from canvaslm.training.trainer import Trainer


def records(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    return [{k: v for k, v in trainer.advance().items() if "second" not in k} for _ in range(steps)]


def test_grouped_experts_train_as_the_plain_ones(tokenizer: Tokenizer) -> None:
    plain, grouped = (
        Trainer(tiny_recipe(), tokenizer, device=torch.device("cpu")) for _ in range(2)
    )
    for layer in grouped.model.layers:
        group(layer.experts)
    for one, other in zip(records(plain, 3), records(grouped, 3), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of its own doings while it compiles
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles with a C++ compiler")
def test_compiled_layers_train_as_the_plain_ones(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "token_losses", objective.token_losses)  # put back afterwards
    plain = records(Trainer(tiny_recipe(), tokenizer, device=torch.device("cpu")), 3)
    trainer = Trainer(tiny_recipe(), tokenizer, device=torch.device("cpu"), way="compiled")
    for one, other in zip(plain, records(trainer, 3), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_compiled_layers_are_not_computed_again(tokenizer: Tokenizer) -> None:
    with pytest.raises(TrainingError, match="one of the two"):
        Trainer(tiny_recipe(recompute=True), tokenizer, device=torch.device("cpu"), way="compiled")


def test_keeping_memory_is_harmless() -> None:
    keep_memory()
    assert float(torch.ones(1 << 20).sum()) == 1 << 20
