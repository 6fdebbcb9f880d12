"""Products of rows and weights: every instruction set against float64, and against each other."""

from __future__ import annotations

import random

import pytest
import torch
from tests.kernels.conftest import instruction_sets, library_of
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.layout import DEPTH, new_rows
from canvaslm.kernels.cpu.library import InstructionSet
from canvaslm.kernels.cpu.linear import NativeLinear
from canvaslm.kernels.reference.linear import PARTNERS, ReferenceLinear
from canvaslm.kernels.rows import LANES, Kind, Rows
from canvaslm.kernels.weight import Format, Weight

# T tokens, K inputs, N outputs

STEP = {"float32": 1, "bfloat16": 2, "int8": 4}
PAIRS = [(kind, format) for kind, formats in PARTNERS.items() for format in formats]
SHAPES = [(1, 64, 1), (2, 192, 33), (3, 704, 48), (5, 320, 17), (16, 128, 100), (47, 1088, 31)]


def reference_rows(kind: Kind, tokens: int, width: int) -> Rows:
    """Random rows as the reference holds them, some of them at the ends of what they can be."""
    if kind != "int8":
        x_TK = torch.randn(tokens, width).to(getattr(torch, kind))
        return Rows(kind, tokens, width, x_TK)
    q_TK = torch.randint(-127, 128, (tokens, width), dtype=torch.int8)
    q_TK[: tokens // 3] = 127
    q_TK[tokens // 3 : tokens // 2] = -127
    return Rows(kind, tokens, width, q_TK, torch.rand(tokens) + 0.5)


def packed(rows: Rows) -> Rows:
    """The same rows in the layout of source/panel.h."""
    made = new_rows(rows.count, rows.width, rows.kind)
    depth = -(-rows.width // DEPTH[rows.kind]) * DEPTH[rows.kind]
    blocks = made.data.shape[0]
    flat = torch.zeros(blocks * LANES, depth, dtype=rows.data.dtype)
    flat[: rows.count, : rows.width] = rows.data
    step = STEP[rows.kind]
    parts = flat.view(blocks, LANES, depth // step, step).transpose(1, 2)
    made.data.copy_(parts.reshape(made.data.shape))
    if made.scale is not None and made.sums is not None and rows.scale is not None:
        made.scale.zero_()[: rows.count] = rows.scale
        sums = flat.view(blocks, LANES, depth // 32, 32).sum(3, dtype=torch.int32)
        made.sums.copy_(sums.transpose(1, 2))
    return made


def weight(format: Format, outputs: int, width: int, group: int = 32) -> Weight:
    if format in ("float32", "bfloat16"):
        return Weight(format, torch.randn(outputs, width).to(getattr(torch, format)))
    if format == "int8":
        data = torch.randint(-128, 128, (outputs, width), dtype=torch.int8)
        data[: outputs // 3] = -128
        return Weight(format, data, torch.rand(outputs) + 0.5)
    data = torch.randint(0, 256, (outputs, width // 2), dtype=torch.uint8)
    if format == "int4":
        return Weight(format, data, (torch.rand(outputs, width // group) + 0.5).bfloat16())
    exponents = torch.randint(118, 136, (outputs, width // 32), dtype=torch.uint8)
    return Weight(format, data, exponents)


def exact(x: Rows, matrix: Weight) -> tuple[Tensor, Tensor]:
    """The product in float64, and how large its terms are together."""
    scale = 1.0 if x.scale is None else x.scale.double()[:, None]
    x_TK, w_NK = x.data.double() * scale, matrix.dequantised().double()
    return x_TK @ w_NK.T, x_TK.abs() @ w_NK.abs().T


def close(y_TN: Tensor, x: Rows, matrix: Weight) -> bool:
    """Within what rounding each addition to float32 can cost."""
    truth_TN, size_TN = exact(x, matrix)
    error_TN = (y_TN.double() - truth_TN).abs()
    return bool((error_TN <= size_TN * 2**-24 * (x.width**0.5 + 8)).all())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture(params=instruction_sets())
def native(request: pytest.FixtureRequest) -> NativeLinear:
    return NativeLinear(library_of(request.param))


@pytest.mark.parametrize(("kind", "format"), PAIRS)
@pytest.mark.parametrize("group", [32, 64])
def test_the_definition_is_the_product(kind: Kind, format: Format, group: int) -> None:
    for tokens, width, outputs in SHAPES:
        x, matrix = reference_rows(kind, tokens, width), weight(format, outputs, width, group)
        assert close(ReferenceLinear().linear(x, matrix), x, matrix)


@pytest.mark.parametrize(("kind", "format"), PAIRS)
@pytest.mark.parametrize("group", [32, 64])
def test_every_instruction_set_computes_it(
    native: NativeLinear, kind: Kind, format: Format, group: int
) -> None:
    for tokens, width, outputs in SHAPES:
        x, matrix = reference_rows(kind, tokens, width), weight(format, outputs, width, group)
        assert close(native.linear(packed(x), matrix), x, matrix), (tokens, width, outputs)


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_odd_shapes(native: NativeLinear, kind: Kind, format: Format) -> None:
    """Any number of tokens and outputs; inputs in whole groups, or any number of them."""
    for _ in range(12):
        tokens, outputs = random.choice([1, 4, 5, 50, 97]), random.randint(1, 70)
        step = 32 if format in ("int4", "mxfp4") else 1
        x = reference_rows(kind, tokens, random.randint(1, 400 // step) * step)
        matrix = weight(format, outputs, x.width)
        assert close(native.linear(packed(x), matrix), x, matrix), (tokens, x.width, outputs)


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_a_row_is_alone(native: NativeLinear, kind: Kind, format: Format) -> None:
    """Its bits depend on neither the other rows nor its place among them, nor on the threads."""
    x, matrix = reference_rows(kind, 70, 448), weight(format, 50, 448, 64)
    all_TN = native.linear(packed(x), matrix)
    for first, last in ((0, 1), (7, 11), (30, 35), (13, 61)):
        scale = None if x.scale is None else x.scale[first:last]
        some = Rows(kind, last - first, x.width, x.data[first:last], scale)
        assert torch.equal(native.linear(packed(some), matrix), all_TN[first:last])


@pytest.mark.parametrize(("kind", "format"), PAIRS)
@pytest.mark.parametrize("group", [32, 64])
def test_few_rows_have_the_bits_of_many(
    native: NativeLinear, kind: Kind, format: Format, group: int
) -> None:
    """Whatever their number, that of the outputs, and where the last group ends."""
    for outputs, width in ((1, 64), (15, 192), (300, 320), (16, 704), (33, 1984)):
        x, matrix = reference_rows(kind, 20, width), weight(format, outputs, width, group)
        all_TN = native.linear(packed(x), matrix)
        for count in (1, 2, 3, 4):
            scale = None if x.scale is None else x.scale[3 : 3 + count]
            few = Rows(kind, count, width, x.data[3 : 3 + count], scale)
            assert torch.equal(native.linear(packed(few), matrix), all_TN[3 : 3 + count])


def test_few_rows_take_every_mxfp4_scale(native: NativeLinear) -> None:
    data = torch.randint(0, 256, (230, 16 * 3), dtype=torch.uint8)
    exponents = torch.arange(230, dtype=torch.uint8)[:, None].repeat(1, 3)
    x, matrix = reference_rows("int8", 20, 96), Weight("mxfp4", data, exponents)
    all_TN = native.linear(packed(x), matrix)
    assert x.scale is not None
    one = Rows("int8", 1, 96, x.data[:1], x.scale[:1])
    assert torch.equal(native.linear(packed(one), matrix), all_TN[:1])


@pytest.mark.parametrize("format", PARTNERS["int8"])
@pytest.mark.parametrize("name", instruction_sets())
def test_integer_sums_are_exact(name: InstructionSet, format: Format) -> None:
    """With one group nothing is rounded but the sum: the definition's own bits."""
    x, matrix = reference_rows("int8", 37, 32), weight(format, 19, 32)
    native = NativeLinear(library_of(name))
    assert torch.equal(native.linear(packed(x), matrix), ReferenceLinear().linear(x, matrix))


@pytest.mark.parametrize("format", PARTNERS["int8"])
def test_instruction_sets_agree_to_the_bit(format: Format) -> None:
    x, matrix = reference_rows("int8", 70, 704), weight(format, 50, 704, 64)
    fused = [name for name in instruction_sets() if name != "plain"]
    results = [NativeLinear(library_of(name)).linear(packed(x), matrix) for name in fused]
    assert all(torch.equal(results[0], result) for result in results[1:])


@pytest.mark.parametrize(("kind", "format"), [("int8", "int4"), ("bfloat16", "bfloat16")])
def test_a_thousand_rows(native: NativeLinear, kind: Kind, format: Format) -> None:
    x, matrix = reference_rows(kind, 1000, 128), weight(format, 40, 128, 64)
    assert close(native.linear(packed(x), matrix), x, matrix)


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_no_rows(native: NativeLinear, kind: Kind, format: Format) -> None:
    x = packed(reference_rows(kind, 0, 64))
    assert native.linear(x, weight(format, 20, 64)).shape == (0, 20)


@pytest.mark.parametrize("backend", ["reference", *instruction_sets()])
def test_what_does_not_go_together_is_refused(backend: str) -> None:
    chosen = ReferenceLinear() if backend == "reference" else NativeLinear(library_of(backend))  # type: ignore[arg-type]
    x = reference_rows("float32", 2, 64)
    with pytest.raises(ParameterError, match="float32 rows do not go with a int8 weight"):
        chosen.linear(x, weight("int8", 4, 64))
    with pytest.raises(ParameterError, match="give rows of 96"):
        chosen.linear(x, weight("float32", 4, 96))
