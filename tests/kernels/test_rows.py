"""Rows between the products: every instruction set gives what plain torch defines."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.layout import unpacked
from canvaslm.kernels.cpu.library import InstructionSet, open_library, runnable
from canvaslm.kernels.cpu.rows import NativeRows
from canvaslm.kernels.reference.rows import ReferenceRows
from canvaslm.kernels.rows import LANES, Kind, Rows
from canvaslm.kernels.weight import Weight

REFERENCE = ReferenceRows()
KINDS: tuple[Kind, ...] = get_args(Kind)
SHAPES = [(0, 8), (1, 1), (1, 64), (3, 50), (16, 96), (17, 130), (33, 704), (1000, 70)]
EPS = 1e-6


@pytest.fixture(params=runnable())
def native(request: pytest.FixtureRequest) -> NativeRows:
    name: InstructionSet = request.param
    return NativeRows(open_library(name))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Of every size, with a row of zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator)
    if len(shape) == 2 and shape[0] > 2:
        x *= torch.logspace(-3, 3, shape[0])[:, None]
        x[1] = 0
    return x


def check(made: Rows, exact_TK: Tensor, *, doubt: float = 0.0) -> None:
    """The rows hold these numbers, rounded to their kind; padding is zero, and sums are right."""
    count, width = exact_TK.shape
    assert (made.kind, made.count, made.width) == (made.kind, count, width)
    held_TK = unpacked(made)
    assert held_TK.shape == exact_TK.shape
    if made.kind == "int8":
        assert made.scale is not None
        allowed = exact_TK.abs().amax(dim=-1, keepdim=True) / 127 * (0.5 + 1e-3)
    else:
        allowed = exact_TK.abs() * {"float32": 0.0, "bfloat16": 2**-8}[made.kind]
    allowed = allowed + doubt * exact_TK.abs() + 1e-30
    assert bool(((held_TK - exact_TK).abs() <= allowed).all())
    check_padding(made)


def check_padding(made: Rows) -> None:
    step = {"float32": 1, "bfloat16": 2, "int8": 4}[made.kind]
    blocks = made.data.unflatten(1, (-1, LANES, step)).permute(0, 2, 1, 3)
    padded = blocks.flatten(2).flatten(0, 1).clone()
    if made.sums is not None:
        sums = padded.unflatten(1, (-1, 32)).sum(dim=-1, dtype=torch.int32)
        laid = sums.unflatten(0, (made.data.shape[0], LANES)).transpose(1, 2)
        torch.testing.assert_close(made.sums, laid, rtol=0, atol=0)
    padded[: made.count, : made.width] = 0
    assert int(padded.count_nonzero()) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows(native: NativeRows, kind: Kind, shape: tuple[int, int]) -> None:
    x_TK = numbers(*shape)
    made = native.rows(x_TK, kind)
    check(made, x_TK)
    wide_TK = numbers(shape[0], shape[1] + 5)[:, : shape[1]]
    check(native.rows(wide_TK, kind), wide_TK)
    if kind == "int8" and shape[0]:
        plain = REFERENCE.rows(x_TK, kind)
        assert made.scale is not None
        assert plain.scale is not None
        torch.testing.assert_close(made.scale[: shape[0]], plain.scale)
        assert bool((made.scale[shape[0] :] == 0).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_norm(native: NativeRows, kind: Kind, shape: tuple[int, int], weighted: bool) -> None:
    h_TD, weight_D = numbers(*shape), numbers(shape[1], seed=1) if weighted else None
    exact_TD = REFERENCE.normed(h_TD, weight_D, eps=EPS)
    check(native.norm(h_TD, weight_D, eps=EPS, kind=kind), exact_TD, doubt=1e-6)
    torch.testing.assert_close(native.normed(h_TD, weight_D, eps=EPS), exact_TD)


@pytest.mark.parametrize("shape", SHAPES)
def test_add_normed(native: NativeRows, shape: tuple[int, int]) -> None:
    h_TD, x_TD, weight_D = numbers(*shape), numbers(*shape, seed=1), numbers(shape[1], seed=2)
    ours, plain = h_TD.clone(), h_TD.clone()
    native.add_normed(ours, x_TD, weight_D, eps=EPS, scalar=0.75)
    REFERENCE.add_normed(plain, x_TD, weight_D, eps=EPS, scalar=0.75)
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("shape", SHAPES)
def test_add_both(native: NativeRows, shape: tuple[int, int]) -> None:
    one_TD, other_TD = numbers(*shape, seed=3), numbers(*shape, seed=1)
    weights = (numbers(shape[1], seed=2), numbers(shape[1], seed=4), numbers(shape[1], seed=5))
    ours, plain = numbers(*shape), numbers(*shape)
    native.add_both(ours, one_TD.clone(), other_TD, weights, eps=EPS, scalar=0.75)
    REFERENCE.add_both(plain, one_TD, other_TD, weights, eps=EPS, scalar=0.75)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gate(native: NativeRows, kind: Kind, shape: tuple[int, int]) -> None:
    gate_TI, up_TI = (3 * torch.randn(shape[0], 2 * shape[1])).chunk(2, dim=-1)
    exact_TI = torch.nn.functional.gelu(gate_TI.double(), approximate="tanh") * up_TI
    made = native.gate(gate_TI, up_TI, kind)
    big = exact_TI.abs() > 1e-3
    check_padding(made)
    rounding = {"float32": 0.0, "bfloat16": 2**-8, "int8": 0.0}[made.kind]
    peak = exact_TI.abs().amax(dim=-1, keepdim=True) if exact_TI.numel() else exact_TI
    step = peak / 127 * 0.501 if kind == "int8" else torch.zeros_like(peak)
    off = (unpacked(made) - exact_TI).abs() - step - 1e-6 - (rounding + 1e-5) * exact_TI.abs()
    assert bool((off[big] <= 0).all())
    assert bool((off <= 1e-6).all())


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_not_lost_and_stays_in_its_row(native: NativeRows, odd: float) -> None:
    x_TK, up_TK = torch.randn(20, 70), torch.rand(20, 70) + 1
    whole, gated = native.rows(x_TK, "int8"), native.gate(x_TK, up_TK, "int8")
    for row, column in ((0, 0), (7, 33), (17, 69)):
        x_TK[row, column] = odd
    found, found_gated = native.rows(x_TK, "int8"), native.gate(x_TK.abs(), up_TK, "int8")
    for made in (found, found_gated, native.norm(x_TK, None, eps=EPS, kind="int8")):
        assert made.scale is not None
        assert made.scale.isnan().nonzero().flatten().tolist() == [0, 7, 17]
    others = torch.tensor([row for row in range(20) if row not in (0, 7, 17)])
    assert torch.equal(unpacked(found)[others], unpacked(whole)[others])
    assert not unpacked(gated).isnan().any()


def test_a_row_too_small_to_be_scaled_is_zero(native: NativeRows) -> None:
    made = native.rows(torch.full((3, 70), 1e-38), "int8")
    assert int(made.data.count_nonzero()) == 0


def turn_case(tokens: int, size: int, *, joined: bool, dtype: torch.dtype) -> dict[str, Any]:
    heads, kv_heads = 4, 2
    raw = numbers(tokens, (heads + 2 * kv_heads) * size)
    q, k, v = raw.split((heads * size, kv_heads * size, kv_heads * size), dim=1)
    angle = numbers(tokens, size // 2, seed=3)
    outs = torch.empty(heads + 2 * kv_heads, tokens, size, dtype=dtype)
    if joined:
        outs = torch.empty(tokens, heads + 2 * kv_heads, size, dtype=dtype).transpose(0, 1)
    q_out, k_out, v_out = outs.split((heads, kv_heads, kv_heads))
    return {
        "q_TJ": q,
        "k_TJ": k,
        "v_TJ": k if joined else v,
        "q_norm_d": numbers(size, seed=4),
        "k_norm_d": numbers(size, seed=5),
        "cos_Th": angle.cos(),
        "sin_Th": angle.sin(),
        "eps": EPS,
        "q_out_HTd": q_out,
        "k_out_GTd": k_out,
        "v_out_GTd": v_out,
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(("tokens", "size"), [(0, 8), (1, 4), (5, 32), (17, 64), (3, 90), (9, 512)])
def test_turn(native: NativeRows, tokens: int, size: int, joined: bool, dtype: torch.dtype) -> None:
    ours, plain = (turn_case(tokens, size, joined=joined, dtype=dtype) for _ in range(2))
    native.turn(**ours)
    REFERENCE.turn(**plain)
    for name in ("q_out_HTd", "k_out_GTd", "v_out_GTd"):
        narrow = dtype == torch.bfloat16
        torch.testing.assert_close(
            ours[name], plain[name], rtol=1e-2 if narrow else 2e-6, atol=1e-4 if narrow else 1e-5
        )


@pytest.mark.parametrize(
    ("tokens", "width", "experts", "top_k"),
    [
        (0, 8, 3, 2),
        (1, 24, 1, 1),
        (17, 24, 5, 5),
        (16, 130, 8, 2),
        (40, 64, 128, 8),
        (9, 33, 31, 3),
    ],
)
def test_route(native: NativeRows, tokens: int, width: int, experts: int, top_k: int) -> None:
    h_TD, router_ED = torch.randn(tokens, width), torch.randn(experts, width)
    scale_E = 0.5 + torch.rand(experts)
    arguments = (h_TD, router_ED, scale_E)
    weights, index = native.route(*arguments, top_k=top_k, eps=EPS)
    plain, chosen = REFERENCE.route(*arguments, top_k=top_k, eps=EPS)
    assert index.dtype == chosen.dtype == torch.int32
    assert torch.equal(index, chosen)
    torch.testing.assert_close(weights, plain, rtol=1e-4, atol=1e-6)  # shares of e^score


def test_of_equal_scores_the_lower_expert_wins(native: NativeRows) -> None:
    h_TD, router_ED = torch.ones(3, 4), torch.ones(6, 4)
    router_ED[4] = 2
    weights, index = native.route(h_TD, router_ED, torch.ones(6), top_k=3, eps=EPS)
    assert index.tolist() == [[4, 0, 1]] * 3
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3))


def tables() -> list[Weight]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(256, (9, 32), generator=generator, dtype=torch.uint8)
    small = torch.randint(-127, 128, (9, 64), generator=generator, dtype=torch.int8)
    exponents = torch.randint(100, 150, (9, 2), generator=generator, dtype=torch.uint8)
    exponents[0] = 0
    x = numbers(9, 61)
    return [
        Weight("float32", x),
        Weight("bfloat16", x.bfloat16()),
        Weight("int8", small, numbers(9).abs()),
        Weight("int4", codes, numbers(9, 2).bfloat16()),
        Weight("mxfp4", codes, exponents),
    ]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.format)
def test_embed(native: NativeRows, table: Weight) -> None:
    for ids in ([], [8], [3] * 20 + [0, 7]):
        ids_T = torch.tensor(ids, dtype=torch.int64)
        ours = native.embed(ids_T, table, scale=11.3)
        torch.testing.assert_close(ours, REFERENCE.embed(ids_T, table, scale=11.3))
    with pytest.raises(ParameterError, match=r"\[0, 9\), got 1 to 9"):
        native.embed(torch.tensor([1, 9]), table, scale=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_the_same_among_others(native: NativeRows, kind: Kind) -> None:
    h_TD, weight_D, router_ED = numbers(37, 100), numbers(100, seed=1), numbers(9, 100, seed=2)
    gate_TI, up_TI = numbers(37, 100, seed=3), numbers(37, 100, seed=4)
    for few in (slice(20, 21), slice(5, 30)):
        for make in (
            lambda at: unpacked(native.norm(h_TD[at], weight_D, eps=EPS, kind=kind)),
            lambda at: unpacked(native.gate(gate_TI[at], up_TI[at], kind)),
            lambda at: native.route(h_TD[at], router_ED, torch.ones(9), top_k=4, eps=EPS)[0],
        ):
            assert torch.equal(make(few), make(slice(None))[few])


def test_avx2_and_avx512_agree_to_the_bit() -> None:
    names = [name for name in runnable() if name in ("avx2", "avx512")]
    h_TD, weight_D = numbers(37, 300), numbers(300, seed=1)
    made = [NativeRows(open_library(name)) for name in names]
    answers = [
        (
            unpacked(rows.norm(h_TD, weight_D, eps=EPS, kind="int8")),
            rows.normed(h_TD, weight_D, eps=EPS),
            unpacked(rows.gate(h_TD.clamp(-8, 8), 2 * h_TD, "float32")),
        )
        for rows in made
    ]
    for answer in answers[1:]:
        assert all(map(torch.equal, answer, answers[0]))
