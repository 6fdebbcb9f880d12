"""Holding an adapter to its base, against a slow divergence of one canvas and token at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.model.dense_attend import DensePrefix
from tests.training.conftest import tiny_recipe
from tests.training.test_distil_walk import OneByOne, started, walked
from tests.training.test_objective import batches, slow_logits, small_model
from torch import Tensor, nn

from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.wear import attach, bare
from canvaslm.errors import ParameterError, TrainingError
from canvaslm.kernels.choose import training
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Batch
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.distil.data import Fewer
from canvaslm.training.fused.network import Fused
from canvaslm.training.hold import held_losses
from canvaslm.training.learner import Learner
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.part import LowRank
from canvaslm.training.trainer import Trainer

CONFIG = AdapterConfig(rank=3)


def bent() -> tuple[Transformer, Transformer, dict[str, nn.Parameter]]:
    """A network that wears an adapter that changes it, the same without one, and what learns."""
    model, base = small_model(9), small_model(9)
    parameters = attach(model, CONFIG, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith(".b"):
                parameter.normal_(std=0.1, generator=generator)
    return model, base, parameters


def said(model: Transformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities at the marked tokens [M, V], and on all canvases [R * L, V]."""
    marked, canvases = [], []
    each = len(batch.clean_RL) // len(batch.documents_BN)
    for row, document in enumerate(batch.documents_BN):
        after = batch.causal_BN[row].nonzero().flatten()
        place = torch.arange(int(after.max()) + 1)[None]
        attend = DensePrefix(model.config).encode(place)
        hidden = model.encode(document[place], place, attend)
        marked.append(model.unembed(hidden)[0, after - 1])
        for canvas in range(row * each, (row + 1) * each):
            canvases.append(slow_logits(model, document, batch, row, canvas))
    return torch.cat(marked).log_softmax(-1), torch.cat(canvases).log_softmax(-1)


def divergence(base: Tensor, own: Tensor) -> Tensor:
    return (base.exp() * (base - own)).sum(-1).mean()


def test_it_is_the_divergence_from_the_base_and_so_is_its_gradient(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    for plain in batches(tokenizer, tmp_path):
        model, base, parameters = bent()
        batch = replace(plain, held=0.35, weight=2.0)
        fast, recomputed = held_losses(model, batch), held_losses(model, batch, recompute=True)
        with torch.no_grad():
            wanted = said(base, batch)
        causal, canvas = map(divergence, wanted, said(model, batch))
        assert float(canvas.detach()) > 1e-3
        torch.testing.assert_close(fast.causal, causal, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(fast.canvas, 0.7 * canvas, rtol=1e-5, atol=1e-7)
        learning = list(parameters.values())
        slow = torch.autograd.grad(causal + 0.7 * canvas, learning)
        for found in (fast, recomputed):
            for one, other in zip(torch.autograd.grad(found.total, learning), slow, strict=True):
                assert (one - other).norm() / other.norm() < 1e-4


def test_the_base_sees_the_canvases_that_were_walked_with_the_adapter() -> None:
    model, base, parameters = bent()
    batch = replace(started(), held=0.35, weight=2.0)
    arrived, learning = walked(model, batch), list(parameters.values())
    assert not torch.equal(arrived.noised_RL, walked(base, batch).noised_RL)
    assert arrived.told is not None
    told = dict(zip(arrived.told[0].tolist(), arrived.told[1], strict=True))
    row_divergences = []
    for row, canvas_L in enumerate(arrived.noised_RL):
        soft = base.soften(told[row]) if row in told else None
        own, other = (
            network.unembed(OneByOne(network, batch).one(row, canvas_L, soft)).log_softmax(-1)
            for network in (model, base)
        )
        row_divergences.append(divergence(other.detach(), own))
    wanted = 0.7 * torch.stack(row_divergences).mean()
    assert float(wanted.detach()) > 1e-3
    slow = torch.autograd.grad(wanted, learning)
    for more in ({}, {"recompute": True}, {"even": True}):
        loss = held_losses(model, batch, **more)
        assert float(loss.causal.detach()) == 0
        torch.testing.assert_close(loss.canvas, wanted, rtol=1e-5, atol=1e-7)
        for one, another in zip(torch.autograd.grad(loss.total, learning), slow, strict=True):
            assert (one - another).norm() / another.norm() < 1e-4


def test_a_new_adapter_says_what_the_base_says(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(9)
    learning = list(attach(model, CONFIG, seed=0).values())
    loss = held_losses(model, replace(batches(tokenizer, tmp_path)[0], held=1.0)).total
    assert float(loss.detach()) == 0
    assert all(float(g.abs().max()) < 1e-6 for g in torch.autograd.grad(loss, learning))


@pytest.mark.skipif(training() is None, reason="no kernels were compiled")
def test_fused_operations_hold_to_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    native, (model, _, parameters) = training(), bent()
    assert native is not None
    model.float()
    assert isinstance(Learner(model, native=native).network, Fused)
    learning = list(parameters.values())
    for drawn in (batches(tokenizer, tmp_path)[0], walked(model, started())):
        batch = replace(drawn, held=1.0)
        plain, fused = (Learner(model, native=way)(batch) for way in (None, native))
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-6)
        ours, theirs = (torch.autograd.grad(loss[0] + loss[1], learning) for loss in (fused, plain))
        for one, other in zip(ours, theirs, strict=True):
            assert (one - other).norm() / other.norm() < 1e-3


@pytest.mark.parametrize("way", ["plain", "fused"])
def test_in_bfloat16_it_is_nearly_the_same(tokenizer: Tokenizer, tmp_path: Path, way: str) -> None:
    if way == "fused" and training() is None:
        pytest.skip("no kernels were compiled")
    native = training() if way == "fused" else None
    batch = replace(batches(tokenizer, tmp_path)[0], held=1.0)
    model, _, _ = bent()
    exact = held_losses(model, batch)
    learner = Learner(model.float(), native=native)
    with torch.autocast("cpu", torch.bfloat16):
        causal, canvas, _ = learner(batch)
    for rough, wanted in ((causal, exact.causal), (canvas, exact.canvas)):
        torch.testing.assert_close(rough.float(), wanted.float(), rtol=0.1, atol=1e-4)
        assert (rough.float() - wanted.float()).abs() > 1e-5 * wanted.abs()  # it was rounded


def test_a_run_that_is_held_learns_the_one_and_keeps_the_other(tokenizer: Tokenizer) -> None:
    new = Mixture(tasks={"ask": 1.0}, documents=3, canvas_length=8)
    old = Mixture(tasks={"scenes": 1.0}, documents=2, canvas_length=24)

    def drift(weight: float) -> list[float]:
        """Nats a token by which scenes go astray, step by step."""
        held = replace(old, held=weight)
        recipe = tiny_recipe(mixtures=(new, held), part=LowRank(rank=4), optimise=AdamW(lr=0.02))
        trainer = Trainer(recipe, tokenizer, device=torch.device("cpu"))
        return [trainer.advance()["scenes/canvas"] / weight for _ in range(8)]

    loose, held = drift(1e-6), drift(100.0)
    assert loose[0] == held[0] == 0  # nothing has moved yet
    assert 0 < held[-1] < loose[-1] / 2


def test_nothing_is_held_where_no_adapter_is_worn(tokenizer: Tokenizer, tmp_path: Path) -> None:
    mixture = Mixture(tasks={"ask": 1.0}, documents=1, canvas_length=4, held=1.0)
    walking = Fewer(anchor=(), walked=(mixture,), certainty=0.0)
    with pytest.raises(TrainingError, match="a mixture of ask is held to a base"):
        replace(tiny_recipe(), data=walking)
    with pytest.raises(TrainingError, match="a mixture of ask is held to a base"):
        tiny_recipe(mixtures=(mixture,))
    with pytest.raises(ParameterError, match="no adapter that could be left off"):
        held_losses(small_model(9), batches(tokenizer, tmp_path)[0])


@pytest.mark.parametrize("held", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(held: float) -> None:
    with pytest.raises(TrainingError, match="held is a weight of at least 0"):
        Mixture(tasks={"ask": 1.0}, documents=1, canvas_length=4, held=held)


def test_an_adapter_is_put_back_whatever_happens() -> None:
    model, _, parameters = bent()
    with pytest.raises(KeyError), bare(model):
        raise KeyError
    place, ids = torch.arange(3)[None], torch.arange(3)[None]
    hidden = model.encode(ids, place, DensePrefix(model.config).encode(place))
    assert all(
        g.any() for g in torch.autograd.grad(hidden.sum(), [parameters["layers.0.attention.q.b"]])
    )
