"""The fused network against the plain one: losses, gradients and steps of a run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import tiny_recipe
from tests.training.test_objective import batches, small_model
from tests.training.test_sudoku import SMALL, tiny

from canvaslm.errors import ParameterError, TrainingError
from canvaslm.kernels.choose import training
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Batch
from canvaslm.training.fused.network import Fused
from canvaslm.training.fused.rows import cross_entropy
from canvaslm.training.group import Alone
from canvaslm.training.objective import Network, losses
from canvaslm.training.recipe import Recipe
from canvaslm.training.trainer import Trainer
from canvaslm.training.way import Way, quickest

CPU = torch.device("cpu")
needs_kernels = pytest.mark.skipif(training() is None, reason="no kernels were compiled")


def dense() -> Recipe:
    return tiny((replace(SMALL, looks=3),), own_share=0.5, causal_share=1.0)


def steps_of(recipe: Recipe, tokenizer: Tokenizer, way: Way) -> tuple[list[float], list[float]]:
    trainer = Trainer(recipe, tokenizer, device=CPU, way=way)
    records = [trainer.advance() for _ in range(3)]
    return [r["loss"] for r in records], [r["norm"] for r in records]


@needs_kernels
def test_a_mixture_of_experts_learns_the_same(tokenizer: Tokenizer) -> None:
    plain, fused = (steps_of(tiny_recipe(), tokenizer, way) for way in ("plain", "fused"))
    assert fused[0] == pytest.approx(plain[0], rel=1e-5)
    assert fused[1] == pytest.approx(plain[1], rel=1e-3)


@needs_kernels
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_dense_model_learns_the_same(tmp_path: Path, bfloat16: bool) -> None:
    recipe = replace(dense(), bfloat16=bfloat16)
    tokenizer = recipe.start.tokenizer(tmp_path, seed=0)
    plain, fused = (steps_of(recipe, tokenizer, way) for way in ("plain", "fused"))
    assert fused[0] == pytest.approx(plain[0], rel=2e-3 if bfloat16 else 1e-5)
    assert fused[1] == pytest.approx(plain[1], rel=2e-2 if bfloat16 else 1e-3)


@needs_kernels
def test_a_mixture_with_all_weights_in_bfloat16_learns_the_same(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    native, model = training(), small_model(9).to(torch.bfloat16)
    assert native is not None
    for batch in batches(tokenizer, tmp_path):
        found = [losses_and_gradients(network, batch) for network in (model, Fused(model, native))]
        (plain, plain_grads), (fused, fused_grads) = found
        assert fused == pytest.approx(plain, rel=2e-3)
        assert fused_grads == pytest.approx(plain_grads, rel=0.1, abs=5e-3)


def losses_and_gradients(network: Network, batch: Batch) -> tuple[list[float], dict[str, float]]:
    """Both losses, and how long the gradient of each parameter is."""
    model = network.model if isinstance(network, Fused) else network
    names, parameters = zip(*model.named_parameters(), strict=True)
    loss = losses(network, batch)
    gradients = torch.autograd.grad(loss.total, parameters)
    lengths = [float(gradient.float().norm()) for gradient in gradients]
    return [loss.causal.item(), loss.canvas.item()], dict(zip(names, lengths, strict=True))


@needs_kernels
def test_held_out_losses_are_the_same(tmp_path: Path) -> None:
    recipe = replace(dense(), bfloat16=False)
    tokenizer = recipe.start.tokenizer(tmp_path, seed=0)
    plain, fused = (
        Trainer(recipe, tokenizer, device=CPU, way=way).measure(1) for way in ("plain", "fused")
    )
    assert fused == pytest.approx(plain, rel=1e-5)


def test_what_is_computed_again_is_not_fused(tokenizer: Tokenizer) -> None:
    recipe = tiny_recipe(recompute=True)
    assert quickest(recipe, CPU, Alone()) == "plain"
    with pytest.raises(TrainingError, match="one of the two"):
        Trainer(recipe, tokenizer, device=CPU, way="fused")


def test_without_kernels_there_is_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANVASLM_KERNELS", "reference")
    assert training() is None
    assert quickest(tiny_recipe(), CPU, Alone()) in ("compiled", "plain")


def test_what_cannot_be_fused_is_refused(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="no fused operations for meta"):
        Trainer(tiny_recipe(), tokenizer, device=torch.device("meta"), way="fused")
    monkeypatch.setenv("CANVASLM_KERNELS", "reference")
    with pytest.raises(TrainingError, match="no fused operations for cpu"):
        Trainer(tiny_recipe(), tokenizer, device=CPU, way="fused")


@needs_kernels
def test_targets_beyond_the_vocabulary_are_refused() -> None:
    native, logits = training(), torch.zeros(2, 5)
    assert native is not None
    for target in (5, -100):
        with pytest.raises(ParameterError, match=r"targets must lie in \[0, 4\]"):
            cross_entropy(native, logits, torch.tensor([0, target]), cap=0.0)


@needs_kernels
def test_weights_in_float64_are_refused(tokenizer: Tokenizer) -> None:
    native = training()
    assert native is not None
    with pytest.raises(ParameterError, match="plain"):
        Fused(Trainer(tiny_recipe(), tokenizer, device=CPU).model.double(), native)
