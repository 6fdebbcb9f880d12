"""The parts of a batch add up to the batch: the same losses, the same gradients."""

from dataclasses import replace

import pytest
import torch
from tests.training.conftest import corpus, tiny_recipe

from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.cut import part_of
from canvaslm.training.data.batch import Micro
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.learner import Learner


def step(learner: Learner, micros: list[Micro]) -> tuple[float, dict[str, torch.Tensor]]:
    learner.zero_grad()
    loss = torch.zeros((), dtype=torch.float64)
    for micro in micros:
        causal, canvas, _ = learner(micro.batch)
        total = causal * micro.causal_weight + canvas * micro.canvas_weight
        total.backward()
        loss += total.detach()
    return float(loss), {n: p.grad.clone() for n, p in learner.named_parameters()}


@pytest.mark.parametrize("size", [2, 3, 5])
def test_parts_count_as_the_whole(tokenizer: Tokenizer, size: int) -> None:
    recipe = tiny_recipe()
    model = recipe.start.network(tokenizer, seed=0).double()
    micros = corpus(tokenizer).micros(1)
    whole = step(Learner(model), micros)
    even = Learner(model, even=True)
    parts = [part_of(m, rank=rank, size=size) for m in micros for rank in range(size)]
    assert len(parts) == size * len(micros)
    loss, gradients = step(even, parts)
    assert loss == pytest.approx(whole[0], rel=1e-6)  # norms are computed in float32
    for name, gradient in whole[1].items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("size", [2, 5])
def test_the_canvases_of_a_lone_document_are_cut(tokenizer: Tokenizer, size: int) -> None:
    model = tiny_recipe().start.network(tokenizer, seed=0).double()
    mixture = Mixture(tasks={"ask": 1.0}, documents=1, canvas_length=8, canvases=3)
    micro = corpus(tokenizer, mixture=mixture).micros(0)[0]
    parts = [part_of(micro, rank=rank, size=size) for rank in range(size)]
    assert max(len(part.batch.clean_RL) for part in parts) == -(-3 // size)
    loss, gradients = step(Learner(model), [micro])
    same, others = step(Learner(model, even=True), parts)
    assert same == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-4, atol=1e-7)


def test_a_part_without_marked_tokens_or_sighted_canvases_teaches_as_before(
    tokenizer: Tokenizer,
) -> None:
    model = tiny_recipe().start.network(tokenizer, seed=0)
    micro = corpus(tokenizer).micros(1)[0]
    none = torch.zeros_like(micro.batch.causal_BN), torch.zeros_like(micro.batch.sighted_R)
    batch = replace(micro.batch, causal_BN=none[0], sighted_R=none[1])
    bare = replace(micro, batch=batch, causal_weight=0.0)
    loss, gradients = step(Learner(model), [bare])
    same, others = step(Learner(model, even=True), [bare])
    assert same == loss
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient)
