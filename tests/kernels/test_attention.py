"""Attention over pieces equals its definition in float64, whatever the pieces and the company."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernels.conftest import instruction_sets, is_emulated, library_of
from torch import Tensor

from canvaslm.cache.attend import hidden
from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.attention import NativeAttention
from canvaslm.kernels.cpu.library import InstructionSet
from canvaslm.kernels.ops import AttentionOperations, QuantisedKV, Segment
from canvaslm.kernels.reference.attention import ReferenceAttention, widened

SETS = pytest.mark.parametrize("name", instruction_sets())
ROUNDED = 2.0**-8  # of a value: weights of bfloat16


def native(name: InstructionSet) -> NativeAttention:
    return NativeAttention(library_of(name))


def quantised(keys_Gnd: Tensor, values_Gnd: Tensor) -> QuantisedKV:
    pairs = []
    for x_Gnd in (keys_Gnd, values_Gnd):
        scale_Gn = x_Gnd.float().abs().amax(dim=-1).clamp(min=1e-6) / 127
        pairs.append(((x_Gnd.float() / scale_Gn[..., None]).round().to(torch.int8), scale_Gn))
    return QuantisedKV(pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1])


@dataclass(frozen=True)
class Case:
    """Shapes and a seed; `lengths` are of the segments, the last of them the queries' own."""

    kv_heads: int = 2
    shared: int = 2
    size: int = 32
    count: int = 5
    lengths: tuple[int, ...] = (7,)
    dtype: torch.dtype = torch.float32
    int8: bool = False
    seed: int = 0
    mask: dict[str, int | None] = field(default_factory=dict)

    def q(self) -> Tensor:
        """Of N rows as a projection leaves them, [H, N, d] by strides."""
        torch.manual_seed(self.seed)
        shape = (self.count, self.kv_heads * self.shared, self.size)
        return (2 * torch.randn(shape) / self.size**0.5).to(self.dtype).transpose(0, 1)

    def segments(self) -> list[Segment]:
        torch.manual_seed(self.seed + 1)
        segments: list[Segment] = []
        for length in self.lengths:
            page = 2 * torch.randn(2, self.kv_heads, length + 3, self.size)
            keys, values = page.to(self.dtype)[:, :, 1 : length + 1]
            segments.append(quantised(keys, values) if self.int8 else (keys, values))
        return segments


def exact(case: Case) -> Tensor:
    """float64 [N, H, d]."""
    pairs = [widened(segment) for segment in case.segments()]
    keys, values = (torch.cat(part, dim=1).double() for part in zip(*pairs, strict=True))
    q_GRd = case.q().double().reshape(case.kv_heads, -1, case.size)
    scores = (q_GRd @ keys.mT).view(case.kv_heads * case.shared, case.count, -1)
    if case.mask:
        before = case.mask["before"]
        assert before is not None
        hide = hidden(before, case.count, case.mask["window"], torch.device("cpu"))
        scores.masked_fill_(hide, -torch.inf)
    mixed = scores.softmax(dim=-1).view(q_GRd.shape[0], q_GRd.shape[1], -1) @ values
    return mixed.view(-1, case.count, case.size).transpose(0, 1)


def agree(attention: AttentionOperations, case: Case) -> None:
    out = attention.attend(case.q(), case.segments(), **case.mask)
    wanted = exact(case)
    assert out.shape == wanted.shape
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    largest = max(widened(segment)[1].abs().max().item() for segment in case.segments())
    error = (out - wanted).abs().max().item()
    assert error <= largest * (3e-6 if case.dtype == torch.float32 else ROUNDED)


@st.composite
def cases(draw: st.DrawFn, *, most: int) -> Case:
    count = draw(st.sampled_from([n for n in (1, 2, 5, 24, 33, 70) if n <= most]))
    lengths = draw(
        st.lists(st.sampled_from([1, 3, 16, 31, 130, 256][: 2 + most // 16]), max_size=3)
    )
    causal = draw(st.booleans())
    before = sum(lengths)
    window = draw(st.sampled_from([None, 1, 7, 40, 150]))
    return Case(
        kv_heads=draw(st.sampled_from([1, 2, 3])),
        shared=draw(st.sampled_from([1, 2, 8])),
        size=draw(st.sampled_from([2, 6, 16, 32, 48, 62, 64, 70])),
        count=count,
        lengths=(*lengths, count if causal else draw(st.integers(1, 40))),
        dtype=draw(st.sampled_from([torch.float32, torch.bfloat16])),
        int8=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
        mask={"before": before, "window": window} if causal else {},
    )


@SETS
def test_any_shape_agrees_with_float64(name: InstructionSet) -> None:
    emulated = is_emulated(name)
    attention = native(name)

    @settings(max_examples=15 if emulated else 60, deadline=None)
    @given(cases(most=5 if emulated else 70))
    def check(case: Case) -> None:
        agree(attention, case)

    check()


@given(cases(most=33))
@settings(max_examples=30, deadline=None)
def test_the_reference_agrees_with_float64(case: Case) -> None:
    agree(ReferenceAttention(), case)


@SETS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_models_own_head_sizes(name: InstructionSet, dtype: torch.dtype) -> None:
    count = 2 if is_emulated(name) else 40
    agree(native(name), Case(size=256, count=count, lengths=(129, count), dtype=dtype))
    agree(native(name), Case(kv_heads=1, size=512, count=count, lengths=(30, 5), dtype=dtype))


@SETS
def test_what_is_no_number_stays_none(name: InstructionSet) -> None:
    case = Case(count=3, lengths=(40, 3))
    q, segments = case.q().clone(), case.segments()
    q[0, 1, 5] = torch.nan
    out = native(name).attend(q, segments)
    assert out.isnan().all(dim=-1).nonzero().tolist() == [[1, 0]]
    assert int(out.isnan().sum()) == case.size
    segments[0][0][1, 33, 0] = torch.nan  # a key of the second group's heads
    out = native(name).attend(case.q(), segments)
    assert out[:, 2:].isnan().all()
    assert not out[:, :2].isnan().any()


@SETS
@pytest.mark.parametrize("count", [1, 70])
def test_a_long_prefix_in_parts(name: InstructionSet, count: int) -> None:
    if not is_emulated(name):
        agree(native(name), Case(count=count, lengths=(*[256] * 33, 1, 77), size=16))
        mask = {"before": 4099, "window": 64}
        agree(native(name), Case(count=count, lengths=(4099, count), size=16, mask=mask))


@SETS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [(9000, 9), (150, 9)])
def test_bits_depend_on_neither_threads_nor_other_rows(
    name: InstructionSet, dtype: torch.dtype, lengths: tuple[int, ...]
) -> None:
    if is_emulated(name):
        lengths = (20, 9)
    case = Case(count=9, shared=4, size=16, lengths=lengths, dtype=dtype)
    attention, q, segments = native(name), case.q(), case.segments()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = attention.attend(q, segments)
        for threads in (2, 5):
            torch.set_num_threads(threads)
            assert torch.equal(attention.attend(q, segments), alone)
            for row in (0, 8):
                assert torch.equal(attention.attend(q[:, row : row + 1], segments)[0], alone[row])
    finally:
        torch.set_num_threads(before)


@SETS
@pytest.mark.parametrize("size", [6, 48, 62, 512])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_rows_have_the_bits_of_many(
    name: InstructionSet, dtype: torch.dtype, int8: bool, size: int
) -> None:
    """Though few read K and V where they lie and many have them packed."""
    lengths = (20, 3) if is_emulated(name) else (130, 1, 300, 18)
    case = Case(count=18, size=size, lengths=lengths, dtype=dtype, int8=int8)
    attention, q, segments = native(name), case.q(), case.segments()
    together = attention.attend(q, segments)
    for count in (1, 2, 3, 8, 16):
        assert torch.equal(attention.attend(q[:, :count], segments), together[:count])


@SETS
@pytest.mark.parametrize("count", [1, 3])
def test_few_rows_with_a_mask(name: InstructionSet, count: int) -> None:
    for before, window in ((140, None), (140, 7), (600, 150), (600, None)):
        if is_emulated(name) and before > 140:
            continue
        mask: dict[str, int | None] = {"before": before, "window": window}
        agree(native(name), Case(count=count, lengths=(before, count), size=48, mask=mask))


@SETS
def test_scores_far_apart_neither_overflow_nor_vanish(name: InstructionSet) -> None:
    keys = torch.zeros(1, 300, 2)
    keys[0, :, 0] = torch.linspace(-3000, 3000, 300)
    values = torch.arange(300.0)[None, :, None].expand(1, 300, 2).contiguous()
    q = torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]])
    out = native(name).attend(q, [(keys, values)])
    assert torch.allclose(out[:, 0, 0], torch.tensor([299.0, 0.0, 149.5]), atol=1e-3)


@SETS
def test_no_queries_no_rows(name: InstructionSet) -> None:
    case = Case()
    assert native(name).attend(case.q()[:, :0], case.segments()).shape == (0, 4, 32)


@pytest.mark.parametrize("attention", [native("plain"), ReferenceAttention()])
def test_what_does_not_fit_is_refused(attention: AttentionOperations) -> None:
    case = Case()
    q, segments = case.q(), case.segments()
    with pytest.raises(ParameterError, match="window belongs"):
        attention.attend(q, segments, window=3)
    with pytest.raises(ParameterError, match="needs 9 keys, got 7"):
        attention.attend(q, segments, before=4)
    with pytest.raises(ParameterError, match="window must be at least 1"):
        attention.attend(q, segments, before=2, window=0)


def test_types_and_sizes_that_do_not_go_together_are_refused() -> None:
    case, attention = Case(), native("plain")
    q, segments = case.q(), case.segments()
    with pytest.raises(ParameterError, match="does not go with K and V"):
        attention.attend(q.bfloat16(), segments)
    with pytest.raises(ParameterError, match="does not go with K of"):
        attention.attend(q[:, :, :16], segments)
    with pytest.raises(ParameterError, match="at least one key"):
        attention.attend(q, [])
    with pytest.raises(ParameterError, match="lie together"):
        attention.attend(q[..., ::2], segments)
