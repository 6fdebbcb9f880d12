"""Fused rows against what they are defined by, in float64: values and gradients, every set."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.kernels.conftest import instruction_sets, library_of
from torch import Tensor

from canvaslm.kernels.cpu.library import InstructionSet
from canvaslm.kernels.cpu.training import Training
from canvaslm.model.rope import rotate
from canvaslm.training.fused.rows import AddNormed, CrossEntropy, Gate, Norm, Turn

EPS = 1e-6
TYPES = (torch.float32, torch.bfloat16)
ALLOWED = {torch.float32: 3e-6, torch.bfloat16: 6e-3}  # of the length of the answer

every = pytest.mark.parametrize("name", instruction_sets())
typed = pytest.mark.parametrize("dtype", TYPES, ids=str)

Outputs = tuple[Tensor, ...]
Operation = Callable[..., Outputs]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def native(name: InstructionSet) -> Training:
    return Training(library_of(name))


def same(fused: Operation, plain: Operation, inputs: Outputs, allowed: float) -> None:
    """Both of the same numbers, plain in float64: equal outputs, and equal gradients of a random
    sum of them."""
    ours = [x.detach().clone().requires_grad_() for x in inputs]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    found, wanted = fused(*ours), plain(*exact)
    weights = [random(*out.shape, seed=7 + i) for i, out in enumerate(wanted)]
    for outputs in (found, wanted):
        torch.stack(
            [(o.double() * w).sum() for o, w in zip(outputs, weights, strict=True)]
        ).sum().backward()
    for one, other in zip(found, wanted, strict=True):
        assert distance(one, other) < allowed
    for one, other in zip(ours, exact, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert distance(one.grad, other.grad) < 2 * allowed


def distance(found: Tensor, exact: Tensor) -> float:
    return float(((found.double() - exact).norm() / exact.norm()).detach())


def rms(x: Tensor, weight: Tensor | None) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], weight, EPS)


@every
@typed
@pytest.mark.parametrize(("rows", "width"), [(1, 16), (130, 50), (65, 128)])
def test_norm(name: InstructionSet, dtype: torch.dtype, rows: int, width: int) -> None:
    ops = native(name)
    inputs = random(rows, width), random(width, seed=1)
    same(
        lambda h, w: (Norm.apply(ops, h, w, EPS, dtype),),
        lambda h, w: (rms(h, w),),
        inputs,
        ALLOWED[dtype],
    )
    same(
        lambda h: (Norm.apply(ops, h, None, EPS, dtype),),
        lambda h: (rms(h, None),),
        inputs[:1],
        ALLOWED[dtype],
    )


@every
@typed
@pytest.mark.parametrize(("rows", "width"), [(3, 20), (129, 96)])
def test_add_normed(name: InstructionSet, dtype: torch.dtype, rows: int, width: int) -> None:
    ops = native(name)
    part = random(rows, width, seed=1).to(dtype)
    inputs = random(rows, width), part, random(width, seed=2), random(width, seed=3)

    def plain(h: Tensor, part: Tensor, inner: Tensor, after: Tensor) -> Outputs:
        sum = (h + rms(part, inner)) * 0.7
        return sum, rms(sum, after)

    same(lambda *x: AddNormed.apply(ops, *x, EPS, 0.7), plain, inputs, ALLOWED[dtype])


@every
@pytest.mark.parametrize("used", [0, 1])
def test_one_result_of_a_sum_may_be_left_unused(name: InstructionSet, used: int) -> None:
    ops = native(name)
    inputs = random(5, 32), random(5, 32, seed=1), random(32, seed=2), random(32, seed=3)

    def plain(h: Tensor, part: Tensor, inner: Tensor, after: Tensor) -> Outputs:
        sum = h + rms(part, inner)
        return ((sum, rms(sum, after))[used] + 0 * after.sum(),)

    def fused(h: Tensor, part: Tensor, inner: Tensor, after: Tensor) -> Outputs:
        return (AddNormed.apply(ops, h, part, inner, after, EPS, 1.0)[used],)

    same_but_zero(fused, plain, inputs)


def same_but_zero(fused: Operation, plain: Operation, inputs: Outputs) -> None:
    ours = [x.clone().requires_grad_() for x in inputs]
    exact = [x.double().requires_grad_() for x in inputs]
    fused(*ours)[0].sum().backward()
    plain(*exact)[0].sum().backward()
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-5)


@every
@typed
def test_gate(name: InstructionSet, dtype: torch.dtype) -> None:
    ops = native(name)
    inputs = (2 * random(67, 37)).to(dtype), random(67, 37, seed=1).to(dtype)
    same(
        lambda gate, up: (Gate.apply(ops, gate, up),),
        lambda gate, up: (F.gelu(gate, approximate="tanh") * up,),
        inputs,
        ALLOWED[dtype],
    )


@every
def test_gates_far_from_zero_stay_finite(name: InstructionSet) -> None:
    gate = torch.tensor([[-1e4, -30.0, 0.0, 30.0, 1e4]]).requires_grad_()
    made = Gate.apply(native(name), gate, torch.ones(1, 5))
    made.sum().backward()
    assert made.tolist()[0] == pytest.approx([0.0, 0.0, 0.0, 30.0, 1e4])
    assert gate.grad is not None
    assert gate.grad.tolist()[0] == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


@every
@typed
@pytest.mark.parametrize("size", [2, 32, 72])
def test_turn(name: InstructionSet, dtype: torch.dtype, size: int) -> None:
    ops = native(name)
    angle = random(7, size // 2, seed=5)
    cos, sin = angle.cos(), angle.sin()
    whole = [torch.cat((x, x), dim=1)[:, None].double() for x in (cos, sin)]
    inputs = random(11, 7, 3, size).to(dtype), 1 + random(size, seed=1) / 4
    allowed = ALLOWED[dtype] * (30 if size == 2 else 1)  # a norm of two leaves one angle
    same(
        lambda x, w: (Turn.apply(ops, x, w, cos, sin, EPS),),
        lambda x, w: (rotate(rms(x, w), *whole),),
        inputs,
        allowed,
    )
    same(
        lambda x: (Turn.apply(ops, x, None, cos, sin, EPS).transpose(1, 2),),
        lambda x: (rms(x, None).transpose(1, 2),),
        inputs[:1],
        allowed,
    )


@every
@typed
@pytest.mark.parametrize("cap", [0.0, 3.0])
@pytest.mark.parametrize("width", [5, 70])
def test_cross_entropy(name: InstructionSet, dtype: torch.dtype, cap: float, width: int) -> None:
    ops = native(name)
    logits, target = (4 * random(90, width)).to(dtype), torch.arange(90) % width

    def plain(logits: Tensor) -> Outputs:
        capped = torch.tanh(logits / cap) * cap if cap else logits
        return (F.cross_entropy(capped, target, reduction="none"),)

    same(
        lambda logits: (CrossEntropy.apply(ops, logits, target, cap)[0],),
        plain,
        (logits,),
        ALLOWED[dtype],
    )
    hits = CrossEntropy.apply(ops, logits, target, cap)[1]
    assert torch.equal(hits, logits.float().argmax(-1) == target)


@every
@typed
@pytest.mark.parametrize("cap", [0.0, 3.0])
def test_a_loss_of_what_is_no_number_is_none(
    name: InstructionSet, dtype: torch.dtype, cap: float
) -> None:
    logits, target = random(4, 40).to(dtype), torch.zeros(4, dtype=torch.int64)
    logits[0, 3] = logits[1, 39] = torch.nan
    logits[2] = torch.nan
    losses, _ = CrossEntropy.apply(native(name), logits, target, cap)
    assert losses.isnan().tolist() == [True, True, True, False]


@every
def test_threads_change_nothing(name: InstructionSet) -> None:
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        h, weight = random(500, 40).requires_grad_(), random(40, seed=1).requires_grad_()
        Norm.apply(native(name), h, weight, EPS, torch.bfloat16).float().square().sum().backward()
        found.append((h.grad, weight.grad))
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
