"""A network that wears an adapter: what changes, what does not, and what has gradients."""

import copy

import pytest
import torch
from tests.adapter.conftest import merged_into, targets_of, trained
from tests.adapter.passes import answers, far

from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.wear import adapter_of, attach, take_off, wear, wearing
from canvaslm.errors import ParameterError, TensorError
from canvaslm.model.transformer import Transformer


@torch.no_grad()
def test_a_new_adapter_changes_nothing_to_the_bit(model: Transformer) -> None:
    before = answers(model)
    parameters = attach(model, AdapterConfig(targets=targets_of(model.config)), seed=0)
    assert all(map(torch.equal, answers(model), before))
    assert all(bool(p.any()) == name.endswith(".a") for name, p in parameters.items())


@torch.no_grad()
@pytest.mark.parametrize("rslora", [False, True])
def test_worn_is_merged(model: Transformer, rslora: bool) -> None:
    adapter = trained(model.config, rslora=rslora)
    before = answers(model)
    worn = answers(wearing(model, adapter))
    assert far(worn, answers(merged_into(model, adapter))) <= 1e-5
    assert far(worn, before) > 0.05
    assert all(map(torch.equal, answers(model), before))


def test_the_adapter_alone_learns(model: Transformer) -> None:
    config = AdapterConfig(rank=2, targets=targets_of(model.config))
    before = answers(copy.deepcopy(model))
    parameters = attach(model, config, seed=1)
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert trainable == {id(p) for p in parameters.values()}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = sum((logits.logsumexp(-1) - logits[..., 3]).mean() for logits in answers(model))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        losses.append(float(loss.detach()))  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.any() for p in parameters.values())
    assert losses[-1] < losses[0]
    learnt = adapter_of(model, config)
    with torch.no_grad():
        after = answers(model)
        take_off(model)
        assert far(answers(model), before) == 0
        wear(model, learnt)
        assert all(map(torch.equal, answers(model), after))


def test_the_same_seed_draws_the_same_adapter(model: Transformer) -> None:
    drawn = []
    for seed in (1, 1, 2):
        drawn.append(attach(model, AdapterConfig(), seed=seed))
        take_off(model)
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert not torch.equal(drawn[0]["layers.0.mlp.up.a"], drawn[2]["layers.0.mlp.up.a"])


def test_two_adapters_are_not_worn_on_top_of_each_other(model: Transformer) -> None:
    attach(model, AdapterConfig(), seed=0)
    with pytest.raises(ParameterError, match="take it off first"):
        attach(model, AdapterConfig(), seed=0)


def test_an_adapter_of_another_network_does_not_fit(model: Transformer) -> None:
    config = model.config
    other = trained(type(config)(**{**vars(config), "hidden_size": 32}))
    with pytest.raises(TensorError, match="another base"):
        wear(model, other)
    assert all(p.requires_grad for p in model.parameters())
