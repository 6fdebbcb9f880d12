"""The mixture as one operation equals the plain one, gradients too."""

import pytest
import torch

from canvaslm.model.config import ExpertsConfig
from canvaslm.model.moe import Experts
from canvaslm.training.experts import experts, mixture


@pytest.mark.parametrize("tokens", [1, 3, 40])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_value_and_gradient_equal_the_plain_mixture(tokens: int, top_k: int) -> None:
    generator = torch.Generator().manual_seed(tokens + top_k)
    module = Experts(8, ExpertsConfig(count=5, top_k=top_k, intermediate_size=6)).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    x = torch.randn(tokens, 8, dtype=torch.float64, generator=generator)
    weights = torch.rand(tokens, top_k, dtype=torch.float64, generator=generator)
    index = torch.rand(tokens, 4, generator=generator).argsort(dim=1)[:, :top_k]  # expert 4 is idle
    upstream = torch.randn(tokens, 8, dtype=torch.float64, generator=generator)

    def run(grouped: bool) -> list[torch.Tensor]:
        inputs = [t.detach().clone().requires_grad_() for t in (x, weights, *module.parameters())]
        if grouped:
            mixed = experts(inputs[0], inputs[1], index, inputs[2], inputs[3])[0]
        else:
            weights_of = {"gate_up": inputs[2], "down": inputs[3]}
            mixed = torch.func.functional_call(module, weights_of, (*inputs[:2], index))
        return [mixed.detach(), *torch.autograd.grad(mixed, inputs, upstream)]

    plain, grouped = run(False), run(True)
    assert len(plain) == len(grouped) == 5
    for one, other in zip(plain, grouped, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_under_autocast_products_are_rounded_as_those_of_the_plain_mixture() -> None:
    generator = torch.Generator().manual_seed(0)
    module = Experts(8, ExpertsConfig(count=5, top_k=2, intermediate_size=6))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    x = torch.randn(40, 8, generator=generator)
    weights = torch.rand(40, 2, generator=generator)
    index = torch.rand(40, 5, generator=generator).argsort(dim=1)[:, :2]
    exact = module(x, weights, index)
    upstream = torch.randn(40, 8, generator=generator)
    found = []
    for run in (module, lambda a, b, c: mixture(a, b, c, module.gate_up, module.down)):
        with torch.autocast("cpu", torch.bfloat16):
            mixed = run(x, weights, index)
        assert mixed.dtype == x.dtype
        assert not torch.equal(mixed, exact)
        gradients = torch.autograd.grad(mixed, [*module.parameters()], upstream)
        found.append([mixed.detach(), *gradients])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.02 * one.norm()


def test_it_can_be_compiled_whole() -> None:
    x, weights = torch.randn(7, 4, requires_grad=True), torch.rand(7, 2, requires_grad=True)
    index = torch.randint(3, (7, 2))
    gate_up, down = torch.randn(3, 10, 4, requires_grad=True), torch.randn(3, 4, 5)
    torch.library.opcheck(
        torch.ops.canvaslm.experts.default,
        (x, weights, index, gate_up, down),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def test_experts_that_do_not_learn_pass_the_same_gradient_on() -> None:
    x, weights = torch.randn(9, 4, requires_grad=True), torch.rand(9, 2, requires_grad=True)
    index = torch.rand(9, 3).argsort(dim=1)[:, :2]
    gate_up, down = torch.randn(3, 10, 4), torch.randn(3, 4, 5)
    found = []
    for learns in (False, True):
        stacked = [t.clone().requires_grad_(learns) for t in (gate_up, down)]
        mixed = mixture(x, weights, index, *stacked)
        found.append(torch.autograd.grad(mixed.square().sum(), (x, weights)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
