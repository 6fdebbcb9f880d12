"""Fused attention equals its plain definition in float64, forward and back, in any company."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.library import InstructionSet, open_library, runnable
from canvaslm.kernels.cpu.train_attention import Seen, TrainAttention
from canvaslm.training.attend import attention
from canvaslm.training.fused.attention import attend

SETS = pytest.mark.parametrize("name", runnable())
KINDS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["whole", "half"])


def native(name: InstructionSet) -> TrainAttention:
    return TrainAttention(open_library(name))


@dataclass(frozen=True, kw_only=True)
class Case:
    """Shapes; without documents attention is causal."""

    rows: int = 3
    length: int = 7
    heads: int = 2
    shared: int = 1
    size: int = 32
    documents: int = 0
    longest: int = 9
    window: int | None = None
    scale: float = 0.5

    def inputs(self) -> list[Tensor]:
        """q, k, v and prefixes in float64, as projections leave them or densely."""
        torch.manual_seed(0)
        tokens = (self.rows, self.length)
        q = torch.randn(*tokens, self.heads, self.size, dtype=torch.float64).transpose(1, 2)
        kv_heads = self.heads // self.shared
        k = torch.randn(*tokens, 2 * kv_heads, self.size, dtype=torch.float64)
        made = [q * self.scale, *k.transpose(1, 2).chunk(2, dim=1)]
        if self.documents:
            shape = (self.documents, kv_heads, self.longest, self.size)
            made += [torch.randn(shape, dtype=torch.float64) for _ in range(2)]
        return [x.bfloat16().double() for x in made]  # what both kinds can hold

    def places(self) -> tuple[Tensor, Tensor]:
        """Documents in any order, the last of them not seen; prefixes from none to the longest."""
        torch.manual_seed(1)
        row_R = torch.randint(0, max(1, self.documents - 1), (self.rows,))
        seen_R = torch.randint(0, self.longest + 1, (self.rows,))
        seen_R[0], seen_R[-1] = 0, self.longest
        return row_R, seen_R

    def prefix(self, inputs: list[Tensor]) -> Seen | None:
        if not self.documents:
            return None
        row_R, seen_R = self.places()
        return Seen(keys_BGMd=inputs[3], values_BGMd=inputs[4], row_R=row_R, seen_R=seen_R)

    def visible(self) -> Tensor:
        """[R, 1, L, keys]"""
        if not self.documents:
            place_L = torch.arange(self.length)
            distance_LL = place_L[:, None] - place_L
            return ((distance_LL >= 0) & (distance_LL < (self.window or self.length)))[None, None]
        place_M, seen_R1 = torch.arange(self.longest), self.places()[1][:, None]
        visible_RM = place_M < seen_R1
        if self.window is not None:
            visible_RM &= place_M > seen_R1 - self.window
        mask = F.pad(visible_RM, (0, self.length), value=True)[:, None, None]
        return mask.expand(-1, -1, self.length, -1)

    def plain(self, inputs: list[Tensor]) -> Tensor:
        q, k, v = inputs[:3]
        if self.documents:
            row_R = self.places()[0]
            k = torch.cat((inputs[3][row_R], k), dim=2)
            v = torch.cat((inputs[4][row_R], v), dim=2)
        return attention(q, k, v, self.visible()).transpose(1, 2).flatten(2)

    def fused(self, kernels: TrainAttention, inputs: list[Tensor]) -> Tensor:
        prefix = self.prefix(inputs)
        return attend(*inputs[:3], prefix, window=self.window, kernels=kernels)

    def grad(self) -> Tensor:
        torch.manual_seed(2)
        return torch.randn(self.rows, self.length, self.heads * self.size, dtype=torch.float64)


CASES = [
    Case(),
    Case(length=1, size=2, heads=4, shared=4),
    Case(length=97, window=13, size=100),
    Case(length=61, window=1, shared=2, size=64),
    Case(length=97, heads=4, shared=2, scale=0.2),
    Case(documents=3, rows=5, length=82, longest=97, heads=4),
    Case(documents=2, rows=4, length=96, longest=160, heads=4, shared=2),
    Case(documents=3, rows=6, length=33, longest=40, window=7, shared=2, size=64),
    Case(documents=4, length=1, longest=3, size=2),
    Case(documents=1, rows=2, length=5, longest=50, window=1, size=100),
    Case(documents=1, rows=1, length=50, longest=130, size=256, scale=0.1),
    Case(documents=2, length=12, longest=0),
    Case(documents=1, rows=2, length=30, longest=3000, window=2900),
]


def all_of(run: "partial[Tensor]", case: Case, dtype: torch.dtype) -> list[Tensor]:
    """The outputs, and the gradients of all inputs."""
    inputs = [x.to(dtype).requires_grad_() for x in case.inputs()]
    out = run(inputs)
    grads = torch.autograd.grad(out, inputs, case.grad().to(dtype))
    return [out.detach(), *grads]


def distance(x: Tensor, y: Tensor) -> float:
    """Relative, or of numbers around 1 where those of y are less."""
    return float((x.double() - y).norm() / y.norm().clamp(min=max(1, y.numel()) ** 0.5))


@SETS
@KINDS
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_outputs_and_gradients_are_those_of_the_definition(
    name: InstructionSet, dtype: torch.dtype, case: Case
) -> None:
    true = all_of(partial(case.plain), case, torch.float64)
    found = all_of(partial(case.fused, native(name)), case, dtype)
    plain = all_of(partial(case.plain), case, dtype)
    floor = 5e-6 if dtype == torch.float32 else 2e-3  # of rounding a single number
    for ours, theirs, exact in zip(found, plain, true, strict=True):
        assert ours.dtype == dtype
        assert distance(ours, exact) <= max(1.5 * distance(theirs, exact), floor)


@SETS
@KINDS
def test_threads_change_nothing(name: InstructionSet, dtype: torch.dtype) -> None:
    for case in (CASES[4], replace(CASES[5], rows=7)):
        run = partial(case.fused, native(name))
        with threads(1):
            one = all_of(run, case, dtype)
        with threads(2):
            two = all_of(run, case, dtype)
        assert all(map(torch.equal, one, two))


class threads:
    """As many of torch's, for a while."""

    def __init__(self, count: int) -> None:
        self.count, self.before = count, torch.get_num_threads()

    def __enter__(self) -> None:
        torch.set_num_threads(self.count)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)


@SETS
@KINDS
def test_a_row_is_the_same_in_any_company_and_layout(
    name: InstructionSet, dtype: torch.dtype
) -> None:
    case = CASES[6]
    inputs = [x.to(dtype) for x in case.inputs()]
    together = case.fused(native(name), inputs)
    prefix = case.prefix(inputs)
    assert prefix is not None
    for r in range(case.rows):
        alone = replace_rows(prefix, slice(r, r + 1))
        q, k, v = (x[r : r + 1].contiguous() for x in inputs[:3])
        assert torch.equal(attend(q, k, v, alone, kernels=native(name))[0], together[r])


def replace_rows(prefix: Seen, rows: slice) -> Seen:
    return replace(prefix, row_R=prefix.row_R[rows], seen_R=prefix.seen_R[rows])


@SETS
@KINDS
def test_what_is_not_seen_is_not_read(name: InstructionSet, dtype: torch.dtype) -> None:
    case = replace(CASES[7], window=None)
    inputs = [x.to(dtype) for x in case.inputs()]
    row_R, seen_R = case.places()
    for b in range(case.documents):
        most = max([int(n) for row, n in zip(row_R, seen_R, strict=True) if row == b], default=0)
        for x in inputs[3:]:
            x[b, :, most:] = torch.nan
    for x in inputs:
        x.requires_grad_()
    out = case.fused(native(name), inputs)
    out.sum().backward()
    assert out.isfinite().all()
    for x in inputs:
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert not x.grad[x.isnan()].any()
    assert not inputs[3].grad[-1].any(), "no canvas sees the last document"


@SETS
@KINDS
@pytest.mark.parametrize("scale", [30.0, 3000.0])
def test_large_scores_choose_one_key(
    name: InstructionSet, dtype: torch.dtype, scale: float
) -> None:
    case = Case(documents=2, length=20, longest=30, scale=scale)
    true = all_of(partial(case.plain), case, torch.float64)
    found = all_of(partial(case.fused, native(name)), case, dtype)
    assert all(x.isfinite().all() for x in found)
    assert distance(found[0], true[0]) < 0.01


@SETS
def test_gradients_lie_as_their_inputs_do(name: InstructionSet) -> None:
    case = CASES[6]
    q, *rest = (x.float() for x in case.inputs())
    q = q.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    out = case.fused(native(name), [q, *rest])
    assert out.is_contiguous()
    out.sum().backward()
    assert q.grad is not None
    assert q.grad.stride() == q.stride()


@pytest.fixture
def kernels() -> TrainAttention:
    if not runnable():
        pytest.skip("no kernels were compiled")
    return native(runnable()[-1])


def test_nothing_to_do(kernels: TrainAttention) -> None:
    x = torch.zeros(0, 2, 4, 8, requires_grad=True)
    out = attend(x, x, x, kernels=kernels)
    out.sum().backward()
    assert out.shape == (0, 4, 16)
    assert x.grad is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"q": torch.zeros(2, 3, 4, 8)}, "kv heads must divide"),
        ({"q": torch.zeros(2, 2, 5, 8)}, "does not go with k"),
        ({"v": torch.zeros(2, 2, 4, 8).bfloat16()}, "must be alike"),
        ({"window": 0}, "at least 1"),
        ({"row_R": torch.tensor([0, 3])}, r"row_R must lie in \[0, 2\]"),
        ({"seen_R": torch.tensor([0, 6])}, r"seen_R must lie in \[0, 5\]"),
        ({"seen_R": torch.tensor([0])}, "seen_R must be int64"),
        ({"keys_BGMd": torch.zeros(3, 2, 5, 6)}, "a prefix of keys"),
        ({"keys_BGMd": torch.zeros(3, 2, 5, 8).bfloat16()}, "a prefix of keys"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    kernels: TrainAttention, changes: dict[str, Tensor], says: str
) -> None:
    given = {
        **dict.fromkeys("qkv", torch.zeros(2, 2, 4, 8)),
        **dict.fromkeys(("keys_BGMd", "values_BGMd"), torch.zeros(3, 2, 5, 8)),
        **dict.fromkeys(("row_R", "seen_R"), torch.zeros(2, dtype=torch.int64)),
        **changes,
    }
    q, k, v, window = (given.pop(name, None) for name in ("q", "k", "v", "window"))
    with pytest.raises(ParameterError, match=says):
        attend(q, k, v, Seen(**given), window=window, kernels=kernels)
