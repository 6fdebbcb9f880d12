"""A mixture of experts: every instruction set against the definition, and rows on their own."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from tests.kernels.conftest import instruction_sets, is_emulated, library_of
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.experts import NativeExperts
from canvaslm.kernels.cpu.library import InstructionSet, open_library, runnable
from canvaslm.kernels.cpu.rows import NativeRows
from canvaslm.kernels.ops import Experts
from canvaslm.kernels.reference.experts import ReferenceExperts
from canvaslm.kernels.reference.linear import PARTNERS
from canvaslm.kernels.reference.rows import ReferenceRows
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Format, Weight

# T tokens, D hidden, E experts, X experts per token, I intermediate

PAIRS = [(kind, format) for kind, formats in PARTNERS.items() for format in formats]
NEAR = {"float32": 1e-5, "bfloat16": 1e-2, "int8": 2e-2}
"""Of the largest: a number between the products may be rounded to its other neighbour."""


class Case(NamedTuple):
    """What goes into a layer."""

    x_TD: Tensor
    gate: list[Weight]
    up: list[Weight]
    down: list[Weight]
    weights_TX: Tensor
    index_TX: Tensor


class Native:
    """Rows and experts of one library, from float32."""

    def __init__(self, name: InstructionSet) -> None:
        library = library_of(name)
        self.rows, self.operations = NativeRows(library).rows, NativeExperts(library)

    def __call__(self, case: Case, kind: Kind) -> Tensor:
        experts = self.operations.gather(case.gate, case.up, case.down)
        rows = self.rows(case.x_TD, kind)
        return self.operations.experts(rows, experts, case.weights_TX, case.index_TX)


def defined(case: Case, kind: Kind) -> Tensor:
    rows = ReferenceRows().rows(case.x_TD, kind)
    experts = Experts(case.gate, case.up, case.down)
    return ReferenceExperts().experts(rows, experts, case.weights_TX, case.index_TX)


def weight(format: Format, outputs: int, width: int, group: int, random: torch.Generator) -> Weight:
    if format in ("float32", "bfloat16"):
        data = torch.randn(outputs, width, generator=random) / width**0.5
        return Weight(format, data.to(getattr(torch, format)))
    unit = torch.rand(outputs, width // group or 1, generator=random) + 0.5
    if format == "int8":
        data = torch.randint(-128, 128, (outputs, width), generator=random, dtype=torch.int8)
        return Weight(format, data, unit[:, 0] / 70 / width**0.5)
    data = torch.randint(0, 256, (outputs, width // 2), generator=random, dtype=torch.uint8)
    if format == "int4":
        return Weight(format, data, (unit / 4 / width**0.5).bfloat16())
    exponents = torch.randint(121, 125, (outputs, width // 32), generator=random, dtype=torch.uint8)
    return Weight(format, data, exponents)


def routed(tokens: int, experts: int, top_k: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Some experts get many tokens and some none."""
    scores_TE = torch.randn(tokens, experts, generator=random)
    scores_TE += 2 * torch.randn(experts, generator=random)
    weights_TX, index_TX = scores_TE.softmax(dim=1).topk(top_k, dim=1)
    return weights_TX.contiguous(), index_TX.int().contiguous()


def case(
    format: Format,
    tokens: int,
    *,
    hidden: int = 192,
    inner: int = 64,
    experts: int = 5,
    top_k: int = 2,
    group: int = 32,
    seed: int = 0,
) -> Case:
    random = torch.Generator().manual_seed(seed)
    x_TD = torch.randn(tokens, hidden, generator=random)
    sides = [
        [weight(format, *shape, group, random) for _ in range(experts)]
        for shape in ((inner, hidden), (inner, hidden), (hidden, inner))
    ]
    return Case(x_TD, *sides, *routed(tokens, experts, top_k, random))


def assert_near(y_TD: Tensor, case: Case, kind: Kind) -> None:
    wanted_TD = defined(case, kind)
    assert y_TD.shape == wanted_TD.shape
    if y_TD.numel():
        assert (y_TD - wanted_TD).abs().max() <= NEAR[kind] * wanted_TD.abs().max()


@pytest.fixture(params=instruction_sets())
def name(request: pytest.FixtureRequest) -> InstructionSet:
    found: InstructionSet = request.param
    return found


@pytest.mark.parametrize("tokens", [0, 1, 2, 9, 40])
@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_every_kind_and_format_is_as_defined(
    name: InstructionSet, kind: Kind, format: Format, tokens: int
) -> None:
    if is_emulated(name) and tokens == 40:
        tokens = 17
    given = case(format, tokens)
    assert_near(Native(name)(given, kind), given, kind)


@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
@pytest.mark.parametrize(
    ("hidden", "inner", "group"), [(64, 128, 64), (704, 64, 64), (96, 32, 32), (416, 160, 32)]
)
def test_groups_and_odd_shapes(
    name: InstructionSet, kind: Kind, hidden: int, inner: int, group: int
) -> None:
    given = case("int4", 3, hidden=hidden, inner=inner, group=group, experts=3)
    assert_near(Native(name)(given, kind), given, kind)


@pytest.mark.parametrize("hidden", [1, 31, 70])
@pytest.mark.parametrize(
    ("kind", "format"), [pair for pair in PAIRS if pair[1] not in ("int4", "mxfp4")]
)
def test_widths_that_fill_no_register(
    name: InstructionSet, kind: Kind, format: Format, hidden: int
) -> None:
    given = case(format, 5, hidden=hidden, inner=hidden + 2, experts=3)
    assert_near(Native(name)(given, kind), given, kind)


@pytest.mark.parametrize("name", runnable())
@pytest.mark.parametrize("tokens", [7, 8, 15, 16, 23, 24, 25, 33, 41, 49, 57, 65, 129, 1000])
def test_any_number_of_rows_for_an_expert(name: InstructionSet, tokens: int) -> None:
    given = case("int4", tokens, experts=2, top_k=1 + tokens % 2, hidden=64)
    assert_near(Native(name)(given, "int8"), given, "int8")


@pytest.mark.parametrize("name", runnable())
@pytest.mark.parametrize(("kind", "format"), [*PAIRS[-3:], ("bfloat16", "int4"), PAIRS[0]])
def test_a_row_is_the_same_alone_and_with_any_number_of_threads(
    name: InstructionSet, kind: Kind, format: Format
) -> None:
    given, native = case(format, 75), Native(name)
    together_TD = native(given, kind)
    for token in (0, 33, 74):
        one = slice(token, token + 1)
        routing = given.weights_TX[one].contiguous(), given.index_TX[one].contiguous()
        alone = Case(given.x_TD[one].contiguous(), given.gate, given.up, given.down, *routing)
        assert torch.equal(native(alone, kind)[0], together_TD[token])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(native(given, kind), together_TD)
    finally:
        torch.set_num_threads(before)


def first(given: Case, tokens: int) -> Case:
    """The same layer for the first tokens only."""
    routing = given.weights_TX[:tokens].contiguous(), given.index_TX[:tokens].contiguous()
    return Case(given.x_TD[:tokens].contiguous(), given.gate, given.up, given.down, *routing)


@pytest.mark.parametrize(("hidden", "inner", "group"), [(192, 128, 64), (352, 544, 32)])
@pytest.mark.parametrize("format", PARTNERS["int8"])
def test_few_tokens_have_the_bits_of_many(
    name: InstructionSet, format: Format, hidden: int, inner: int, group: int
) -> None:
    """However the outputs of few experts are shared out among threads."""
    given = case(format, 20, hidden=hidden, inner=inner, group=group, experts=4)
    native, before = Native(name), torch.get_num_threads()
    together_TD = native(given, "int8")
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for tokens in (1, 2, 3, 4):
                assert torch.equal(native(first(given, tokens), "int8"), together_TD[:tokens])
    finally:
        torch.set_num_threads(before)


def test_few_tokens_and_weights_of_different_formats(name: InstructionSet) -> None:
    other, given = case("mxfp4", 20), case("int4", 20, group=64)
    mixed = given._replace(up=other.up, down=[*given.down[:2], *other.down[2:]])
    native = Native(name)
    together_TD = native(mixed, "int8")
    assert_near(together_TD, mixed, "int8")
    assert torch.equal(native(first(mixed, 2), "int8"), together_TD[:2])


@pytest.mark.parametrize("tokens", [14, 31, 50, 70])
@pytest.mark.parametrize("format", PARTNERS["int8"])
def test_sets_agree_to_the_bit_where_products_are_rounded_once(format: Format, tokens: int) -> None:
    """Also where tiles of outputs or of tokens are left alone."""
    given = case(
        format, tokens, hidden=96, inner=80 if format == "int8" else 64, experts=1, top_k=1
    )
    sets = [one for one in instruction_sets() if one != "plain"]
    results = [Native(one)(given, "int8") for one in sets]
    assert_near(results[0], given, "int8")
    assert all(torch.equal(results[0], result) for result in results)


@pytest.mark.parametrize("format", PARTNERS["bfloat16"])
def test_bfloat16_in_tiles_of_tiles(name: InstructionSet, format: Format) -> None:
    given = case(format, 50, hidden=96, inner=64, experts=1, top_k=1)
    assert_near(Native(name)(given, "bfloat16"), given, "bfloat16")


@pytest.mark.parametrize("tokens", [3, 20])
@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_what_is_no_number_is_not_lost_and_stays_in_its_row(
    name: InstructionSet, kind: Kind, format: Format, tokens: int
) -> None:
    given, native = case(format, tokens), Native(name)
    whole_TD, odd = native(given, kind), [0, tokens - 1]
    given.x_TD[0, 5], given.x_TD[-1, 7] = torch.nan, torch.inf
    assert_others_keep(whole_TD, native(given, kind), odd)


@pytest.mark.parametrize("tokens", [3, 20])
@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_nor_is_a_single_one_between_the_products(
    name: InstructionSet, kind: Kind, format: Format, tokens: int
) -> None:
    """One product of gate and up is infinite for the tokens whose first 32 numbers are not zero."""
    given, native = case(format, tokens), Native(name)
    given.x_TD[:, :32] = 0
    gate, up = ([too_large(weight, 3) for weight in side] for side in (given.gate, given.up))
    given = given._replace(gate=gate, up=up)
    whole_TD, odd = native(given, kind), [0, tokens - 1]
    given.x_TD[odd, :32] = 1
    assert bool(whole_TD.isfinite().all())
    assert_others_keep(whole_TD, native(given, kind), odd)


def too_large(weight: Weight, row: int) -> Weight:
    """An output that becomes some 1e30 for inputs whose first 32 numbers are not zero."""
    data, scale = weight.data.clone(), weight.scale
    data[row, 16 if weight.format in ("int4", "mxfp4") else 32 :] = 0
    if scale is None:
        data[row] = data[row].abs() * 1e30
        return Weight(weight.format, data)
    data[row, :16] = 0x77
    if weight.format == "int4":
        data[row, :16], data[row, 16:] = 0x99, 0x88  # 1 and 0
    scale = scale.clone()
    scale[row] = 227 if weight.format == "mxfp4" else 1e30
    return Weight(weight.format, data, scale)


def assert_others_keep(whole_TD: Tensor, found_TD: Tensor, odd: list[int]) -> None:
    """The odd rows are no numbers now, and nothing else has changed."""
    rest = torch.ones(len(found_TD), dtype=torch.bool)
    rest[odd] = False
    assert not found_TD[odd].isfinite().any()
    assert torch.equal(found_TD[rest], whole_TD[rest])


@pytest.mark.parametrize("tokens", [3, 20])
@pytest.mark.parametrize("format", PARTNERS["int8"])
def test_a_row_too_small_to_be_scaled_is_zero(
    name: InstructionSet, format: Format, tokens: int
) -> None:
    given, native = case(format, tokens), Native(name)
    whole_TD = native(given, "int8")
    given.x_TD[1] *= 1e-19
    found_TD = native(given, "int8")
    assert not found_TD[1].any()
    assert torch.equal(found_TD[2:], whole_TD[2:])


@pytest.mark.parametrize("name", runnable())
def test_zero_rows_give_zero(name: InstructionSet) -> None:
    given = case("int4", 4)
    given.x_TD[1] = 0
    y_TD = Native(name)(given, "int8")
    assert not y_TD[1].any()
    assert y_TD[0].any()


@pytest.fixture
def native() -> NativeExperts:
    return NativeExperts(open_library(runnable()[-1]))


def test_what_does_not_go_together_is_refused(native: NativeExperts) -> None:
    given = case("int4", 3)
    with pytest.raises(ParameterError, match="as many gates"):
        native.gather(given.gate, given.up[1:], given.down)
    with pytest.raises(ParameterError, match="down of expert 0"):
        native.gather(given.gate, given.up, given.up)
    experts = native.gather(given.gate, given.up, given.down)
    rows = NativeRows(native.library).rows(given.x_TD, "int8")
    floats = NativeRows(native.library).rows(given.x_TD, "float32")
    narrow = NativeRows(native.library).rows(given.x_TD[:, :64].contiguous(), "int8")
    with pytest.raises(ParameterError, match="float32 rows go with"):
        native.experts(floats, experts, given.weights_TX, given.index_TX)
    with pytest.raises(ParameterError, match="take rows of 192"):
        native.experts(narrow, experts, given.weights_TX, given.index_TX)
    with pytest.raises(ParameterError, match=r"must be \[3, X\]"):
        native.experts(rows, experts, given.weights_TX[:2], given.index_TX[:2])
    with pytest.raises(ParameterError, match="int32"):
        native.experts(rows, experts, given.weights_TX, given.index_TX.long())
    with pytest.raises(ParameterError, match="names 1 experts that are not there"):
        native.experts(
            rows,
            experts,
            given.weights_TX,
            given.index_TX.index_put(
                (torch.tensor(0), torch.tensor(0)), torch.tensor(5, dtype=torch.int32)
            ),
        )
