"""The vocabulary head: what it believes, draws and softens, against float64."""

from __future__ import annotations

import gc
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import torch
from tests.kernels.conftest import instruction_sets, library_of
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.cpu.head import NativeHead
from canvaslm.kernels.cpu.layout import unpacked
from canvaslm.kernels.cpu.library import InstructionSet
from canvaslm.kernels.cpu.rows import NativeRows
from canvaslm.kernels.ops import DROPPED, Belief, HeadOperations, RowOperations
from canvaslm.kernels.reference.head import ReferenceHead
from canvaslm.kernels.reference.rows import ReferenceRows
from canvaslm.kernels.rows import Kind, Rows
from canvaslm.kernels.weight import Format, Weight

# T tokens, D hidden, V vocabulary

CAP = 30.0
PAIRS: list[tuple[Kind, Format]] = [
    ("float32", "float32"),
    ("float32", "bfloat16"),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "int8"),
    ("int8", "int8"),
]


class Backend(NamedTuple):
    head: HeadOperations
    rows: RowOperations


class Truth(NamedTuple):
    """In float64, of the rows and the table as they were rounded."""

    y_TV: Tensor
    p_TV: Tensor
    log_z: Tensor
    entropy: Tensor


def backend_of(name: str) -> Backend:
    if name == "reference":
        return Backend(ReferenceHead(), ReferenceRows())
    chosen: InstructionSet = name  # type: ignore[assignment]
    library = library_of(chosen)
    return Backend(NativeHead(library), NativeRows(library))


@pytest.fixture(params=["reference", *instruction_sets()])
def backend(request: pytest.FixtureRequest) -> Backend:
    return backend_of(request.param)


@pytest.fixture(params=instruction_sets())
def native(request: pytest.FixtureRequest) -> Backend:
    return backend_of(request.param)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def table_of(format: Format, vocabulary: int, width: int) -> Weight:
    if format != "int8":
        return Weight(format, torch.randn(vocabulary, width).to(getattr(torch, format)))
    data = torch.randint(-127, 128, (vocabulary, width), dtype=torch.int8)
    return Weight(format, data, torch.rand(vocabulary) / 64)


def numbers(rows: Rows) -> Tensor:
    """The rows as they were rounded, float64 [T, D], of either layout."""
    if rows.data.shape != (rows.count, rows.width) or rows.sums is not None:
        return unpacked(rows).double()
    scale = 1 if rows.scale is None else rows.scale.double()[:, None]
    return rows.data.double() * scale


def logits_of(*columns: Tensor) -> tuple[Tensor, Weight]:
    """Hidden states and a table whose products are exactly these logits [V], one row each."""
    return torch.eye(len(columns)), Weight("float32", torch.stack(columns, dim=1).contiguous())


def truth_of(
    x: Rows,
    table: Weight,
    *,
    softcap: float | None = CAP,
    temperature: float = 1.0,
    bias_V: Tensor | None = None,
) -> Truth:
    scale = 1 if table.format != "int8" or table.scale is None else table.scale.double()[:, None]
    y_TV = numbers(x) @ (table.data.double() * scale).T
    if softcap is not None:
        y_TV = softcap * torch.tanh(y_TV / softcap)
    if bias_V is not None:
        y_TV = y_TV + bias_V.double()
    z_TV = y_TV / temperature
    log_z_T = z_TV.logsumexp(dim=-1)
    p_TV = (z_TV - log_z_T[:, None]).exp()
    peak_T, best_T = z_TV.max(dim=-1)
    below_TV = z_TV - peak_T[:, None]
    others_TV = below_TV.exp().scatter(1, best_T[:, None], 0)
    others_T, spread_T = others_TV.sum(1), -(below_TV.clamp(min=-1e9) * others_TV).sum(1)
    entropy_T = others_T.log1p() + spread_T / (1 + others_T)
    return Truth(y_TV, p_TV, log_z_T, entropy_T)


def check(belief: Belief, truth: Truth, *, tolerance: float = 2e-5) -> None:
    """`tolerance` is what the rounding of a logit is worth, in units of z."""
    assert (belief.log_z - truth.log_z).abs().max() <= tolerance + truth.log_z.abs().max() * 1e-7
    slack_T = tolerance * (truth.entropy + 0.1 * truth.entropy.sqrt() + 1e-9)
    assert ((belief.entropy - truth.entropy).abs() <= slack_T + truth.entropy * 3e-7).all()
    best_T = truth.y_TV.gather(1, belief.best[:, None])[:, 0]
    assert (truth.y_TV.max(dim=-1).values - best_T).max() <= tolerance


def check_drawn(belief: Belief, truth: Truth, uniform_T: Tensor, *, slack: float = 1e-5) -> None:
    """The token's share of [0, 1) holds the number, but for `slack` at its ends."""
    assert belief.drawn is not None
    upper_TV = truth.p_TV.cumsum(dim=-1)
    p_T = truth.p_TV.gather(1, belief.drawn[:, None])[:, 0]
    upper_T = upper_TV.gather(1, belief.drawn[:, None])[:, 0]
    assert (p_T > 0).all()
    assert (uniform_T < upper_T + slack).all()
    assert (uniform_T >= upper_T - p_T - slack).all()


@pytest.mark.parametrize(("kind", "format"), PAIRS)
@pytest.mark.parametrize("softcap", [None, CAP])
def test_any_shape(backend: Backend, kind: Kind, format: Format, softcap: float | None) -> None:
    for tokens, vocabulary, width in [(1, 1, 4), (3, 63, 33), (17, 130, 64), (40, 1000, 7)]:
        table = table_of(format, vocabulary, width)
        x = backend.rows.rows(torch.randn(tokens, width), kind)
        uniform_T, bias_V = torch.rand(tokens, dtype=torch.float64), torch.randn(vocabulary)
        bias_V[1::3] = -torch.inf
        for temperature in (0.4, 2.0):
            belief = backend.head.believe(
                x,
                table,
                softcap=softcap,
                temperature=temperature,
                uniform_T=uniform_T,
                bias_V=bias_V,
            )
            truth = truth_of(x, table, softcap=softcap, temperature=temperature, bias_V=bias_V)
            check(belief, truth, tolerance=1e-4)
            check_drawn(belief, truth, uniform_T, slack=1e-4)
            soft_TD = backend.head.soften(belief)
            check_soft(soft_TD, truth.p_TV, table, kind=kind)
        asked_TV = backend.head.logits(x, table, softcap=softcap)
        plain = truth_of(x, table, softcap=softcap)
        assert torch.allclose(asked_TV.double(), plain.y_TV, rtol=2e-6, atol=1e-5)


def check_soft(soft_TD: Tensor, p_TV: Tensor, table: Weight, *, kind: Kind) -> None:
    """What is left out is no more than DROPPED of the longest row; a weight is rounded to bfloat16
    but for float32 rows, and once more when it is taken times an int8 row's scale."""
    values_VD = table.dequantised().double()
    wanted_TD, size_TD = p_TV @ values_VD, p_TV @ values_VD.abs()
    rounding = 1e-4 if kind == "float32" else 2**-7 if table.format == "int8" else 2**-8
    allowed_TD = values_VD.abs().amax(0) * DROPPED + size_TD * rounding
    assert ((soft_TD - wanted_TD).abs() <= allowed_TD + 1e-6).all()


@pytest.mark.parametrize("tokens", [1, 3, 256, 1000])
def test_any_number_of_rows(native: Backend, tokens: int) -> None:
    table = table_of("bfloat16", 300, 16)
    x = native.rows.rows(torch.randn(tokens, 16), "bfloat16")
    uniform_T = torch.rand(tokens, dtype=torch.float64)
    belief = native.head.believe(x, table, softcap=CAP, temperature=0.7, uniform_T=uniform_T)
    truth = truth_of(x, table, temperature=0.7)
    check(belief, truth)
    check_drawn(belief, truth, uniform_T)
    check_soft(native.head.soften(belief), truth.p_TV, table, kind="bfloat16")


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_broad_and_narrow_rows_together(native: Backend, kind: Kind, format: Format) -> None:
    """A broad row takes the whole table, in tiles of rows and columns that end anywhere."""
    tokens, vocabulary, width = 37, 901, 150
    table = table_of(format, vocabulary, width)
    hidden = torch.randn(tokens, width) * torch.linspace(0.01, 4, tokens)[:, None]
    x = native.rows.rows(hidden, kind)
    belief = native.head.believe(x, table, softcap=CAP, temperature=1.0)
    check_soft(native.head.soften(belief), truth_of(x, table).p_TV, table, kind=kind)


def test_no_rows(native: Backend) -> None:
    x, table = native.rows.rows(torch.empty(0, 16), "bfloat16"), table_of("bfloat16", 300, 16)
    belief = native.head.believe(x, table, softcap=CAP, temperature=0.7)
    assert belief.entropy.shape == (0,)
    assert native.head.soften(belief).shape == (0, 16)
    assert native.head.logits(x, table, softcap=CAP).shape == (0, 300)


@pytest.mark.parametrize("temperature", [0.02, 0.4, 0.8, 2.0])
def test_as_exact_as_float32_logits_allow(native: Backend, temperature: float) -> None:
    """Over a whole vocabulary: the errors of facts about float32 statistics, at most."""
    logits_V = torch.randn(262144) * 4
    hidden, table = logits_of(logits_V, logits_V / 8)
    x = native.rows.rows(hidden, "float32")
    belief = native.head.believe(x, table, softcap=CAP, temperature=temperature)
    truth = truth_of(x, table, temperature=temperature)
    assert (belief.entropy - truth.entropy).abs().max() <= 2.2e-6 * max(1, 0.4 / temperature)
    assert torch.equal(belief.best, truth.y_TV.argmax(dim=-1))


def test_all_mass_in_one_token(backend: Backend) -> None:
    """An entropy of 1e-11 keeps three digits."""
    logits_V = torch.randn(5000).clamp(max=2.0)
    logits_V[4321] = 19.0
    hidden, table = logits_of(logits_V)
    x = backend.rows.rows(hidden, "float32")
    uniform_T = torch.rand(1, dtype=torch.float64)
    belief = backend.head.believe(x, table, softcap=CAP, temperature=0.4, uniform_T=uniform_T)
    truth = truth_of(x, table, temperature=0.4)
    assert 1e-14 < truth.entropy < 1e-9
    if not isinstance(backend.head, ReferenceHead):
        assert abs(belief.entropy / truth.entropy - 1) < 2.6e-4
    assert belief.best.tolist() == [4321]
    assert belief.drawn is not None
    assert belief.drawn.tolist() == [4321]
    assert torch.allclose(backend.head.soften(belief), table.data[4321:4322], rtol=1e-4)


def test_a_flat_distribution(backend: Backend) -> None:
    hidden, table = logits_of(torch.full((5000,), 1.25))
    x = backend.rows.rows(hidden, "float32")
    uniform_T = torch.tensor([0.7701], dtype=torch.float64)
    belief = backend.head.believe(x, table, softcap=CAP, temperature=1.0, uniform_T=uniform_T)
    assert abs(belief.entropy.item() - math.log(5000)) < 2e-6
    assert belief.best.tolist() == [0]
    assert belief.drawn is not None
    assert belief.drawn.tolist() == [3850]
    assert torch.allclose(backend.head.soften(belief), torch.tensor([[1.25]]), rtol=2e-4)


@pytest.mark.parametrize("others", [[701], [40], [702, 703, 4999]])
def test_of_equal_maxima_the_first_wins(backend: Backend, others: list[int]) -> None:
    logits_V = torch.randn(5000)
    logits_V[[700, *others]] = 12.0
    hidden, table = logits_of(logits_V)
    x = backend.rows.rows(hidden, "float32")
    belief = backend.head.believe(x, table, softcap=CAP, temperature=0.1)
    assert belief.best.tolist() == [min(700, *others)]
    assert abs(belief.entropy.item() - math.log(1 + len(others))) < 1e-6


def test_what_a_bias_rules_out_is_never_drawn(backend: Backend) -> None:
    """Not even where whole tiles are gone and the number lies at an end."""
    hidden, table = logits_of(torch.randn(500))
    bias_V = torch.full((500,), -torch.inf)
    bias_V[[70, 71, 300]] = 0.0
    x = backend.rows.rows(hidden.expand(200, 1), "float32")
    uniform_T = torch.linspace(0, 1 - 2**-53, 200, dtype=torch.float64)
    belief = backend.head.believe(
        x, table, softcap=CAP, temperature=0.5, uniform_T=uniform_T, bias_V=bias_V
    )
    assert belief.drawn is not None
    assert set(belief.drawn.tolist()) == {70, 71, 300}
    assert torch.equal(belief.drawn, belief.drawn.sort().values)
    check(belief, truth_of(x, table, temperature=0.5, bias_V=bias_V))


def test_draws_follow_the_distribution(native: Backend) -> None:
    """Chi-square over a vocabulary of 200: 199 degrees of freedom, 5 standard deviations."""
    count = 20000
    hidden, table = logits_of(torch.randn(200))
    x = native.rows.rows(hidden.expand(count, 1), "float32")
    uniform_T = torch.rand(count, dtype=torch.float64)
    belief = native.head.believe(x, table, softcap=CAP, temperature=0.8, uniform_T=uniform_T)
    assert belief.drawn is not None
    expected_V = truth_of(native.rows.rows(hidden, "float32"), table, temperature=0.8).p_TV[0]
    found_V = torch.bincount(belief.drawn, minlength=200)
    chi = ((found_V - count * expected_V) ** 2 / (count * expected_V)).sum()
    assert abs(chi - 199) < 5 * math.sqrt(2 * 199)


def test_the_reference_draws_the_same(native: Backend) -> None:
    table = table_of("bfloat16", 700, 32)
    hidden = torch.randn(300, 32)
    uniform_T = torch.rand(300, dtype=torch.float64)
    drawn = []
    for head, rows in (native, backend_of("reference")):
        x = rows.rows(hidden, "bfloat16")
        belief = head.believe(x, table, softcap=CAP, temperature=0.9, uniform_T=uniform_T)
        assert belief.drawn is not None
        drawn.append(belief.drawn)
    assert (drawn[0] != drawn[1]).sum() <= 1


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_other_rows_and_threads_change_nothing(native: Backend, kind: Kind, format: Format) -> None:
    table, hidden = table_of(format, 1500, 32), torch.randn(45, 32)
    hidden *= torch.linspace(0.05, 3, 45)[:, None]
    uniform_T = torch.rand(45, dtype=torch.float64)

    def answers(some: slice, threads: int) -> tuple[Tensor, ...]:
        torch.set_num_threads(threads)
        x = native.rows.rows(hidden[some].contiguous(), kind)
        belief = native.head.believe(
            x, table, softcap=CAP, temperature=0.3, uniform_T=uniform_T[some]
        )
        assert belief.drawn is not None
        soft_TD = native.head.soften(belief)
        rows_R = torch.tensor([0, x.count - 1])
        assert torch.equal(native.head.soften(belief, rows_R), soft_TD[rows_R])
        logits_TV = native.head.logits(x, table, softcap=CAP)
        return belief.log_z, belief.entropy, belief.best, belief.drawn, soft_TD, logits_TV

    threads = torch.get_num_threads()
    try:
        whole = answers(slice(0, 45), 1)
        for some, count in ((slice(0, 45), 3), (slice(7, 8), 2), (slice(20, 45), 2)):
            for one, part in zip(whole, answers(some, count), strict=True):
                assert torch.equal(one[some], part)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0, 12.0])
def test_little_enough_is_left_out(native: Backend, spread: float) -> None:
    """The table's rows are one each in two columns, so that a soft row is what was counted."""
    vocabulary = 6000
    logits_V = torch.randn(vocabulary) * spread
    ones = torch.ones(vocabulary)
    _, table = logits_of(logits_V, ones, torch.zeros(vocabulary))
    x = native.rows.rows(torch.tensor([[1.0, 0.0, 0.0]]), "float32")
    belief = native.head.believe(x, table, softcap=CAP, temperature=1.0)
    counted = native.head.soften(belief)[0, 1].item()
    assert 1 - DROPPED - 2e-6 <= counted <= 1 + 2e-6


def test_memory_is_used_again_but_not_while_it_is_needed(native: Backend) -> None:
    table = table_of("bfloat16", 700, 32)
    x = native.rows.rows(torch.randn(20, 32), "bfloat16")
    first = native.head.believe(x, table, softcap=CAP, temperature=1.0)
    soft_TD = native.head.soften(first)
    second = native.head.believe(x, table, softcap=CAP, temperature=0.1)
    assert torch.equal(native.head.soften(first), soft_TD)
    address = first.state.kept.weights
    del first
    gc.collect()
    third = native.head.believe(x, table, softcap=CAP, temperature=0.1)
    assert third.state.kept.weights == address
    assert torch.equal(native.head.soften(second), native.head.soften(third))


def test_two_threads_do_not_get_the_same_memory(native: Backend) -> None:
    x = native.rows.rows(torch.randn(20, 32), "bfloat16")
    tables = [table_of("bfloat16", 700 + 150 * i, 32) for i in range(3)]

    def soften(table: Weight) -> Tensor:
        return native.head.soften(native.head.believe(x, table, softcap=CAP, temperature=1.0))

    alone = [soften(table) for table in tables]
    with ThreadPoolExecutor(3) as pool:
        for table, soft_TD in zip(tables * 4, pool.map(soften, tables * 4), strict=True):
            assert torch.equal(soft_TD, alone[tables.index(table)])


def test_nothing_can_be_softened_that_was_not_kept(backend: Backend) -> None:
    x = backend.rows.rows(torch.randn(2, 8), "float32")
    table = table_of("float32", 50, 8)
    belief = backend.head.believe(x, table, softcap=None, temperature=1.0, soft=False)
    with pytest.raises(ParameterError, match="soft=True"):
        backend.head.soften(belief)


def test_what_cannot_be_asked_is_refused(backend: Backend) -> None:
    x = backend.rows.rows(torch.randn(2, 8), "float32")
    table = table_of("float32", 50, 8)
    asked: list[tuple[dict[str, Any], str]] = [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"uniform_T": torch.rand(2)}, "uniform must be"),
        ({"uniform_T": torch.rand(3, dtype=torch.float64)}, "uniform must be"),
        ({"bias_V": torch.zeros(49)}, "bias must be"),
        ({"bias_V": torch.full((50,), -torch.inf)}, "leave at least one"),
    ]
    for wrong, message in asked:
        with pytest.raises(ParameterError, match=message):
            backend.head.believe(x, table, **{"softcap": None, "temperature": 1.0} | wrong)
