"""Rounding: every format's error, what is searched for, and what cannot be rounded."""

import math

import pytest
import torch
from torch import Tensor

from canvaslm.errors import TensorError
from canvaslm.kernels.weight import E2M1
from canvaslm.quant import mxfp4
from canvaslm.quant.rounding import PIECE, Loss, round_matrix
from canvaslm.quant.scheme import RoundedFormat

FORMATS: list[tuple[RoundedFormat, int | None]] = [
    ("int8", None),
    ("int4", 64),
    ("int4", 32),
    ("mxfp4", 32),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weighted_error(w: Tensor, rounded: Tensor, h: Tensor | float = 1.0) -> float:
    off = (h * (w.double() - rounded.double()) ** 2).sum()
    return math.sqrt(float(off / (h * w.double() ** 2).sum()))


def nearest(w: Tensor, format: RoundedFormat, group: int | None) -> Tensor:
    """The plain way: the scale puts the largest value at the end of the grid."""
    groups = w.view(len(w), -1, group or w.shape[1])
    peak = groups.abs().amax(dim=2, keepdim=True)
    if format == "mxfp4":
        scale = torch.exp2(torch.floor(torch.log2(peak)) - 2)
        grid = torch.tensor(E2M1)
        picked = (groups.abs() / scale).clamp(max=6)[..., None].sub(grid).abs().argmin(dim=-1)
        return (grid[picked] * scale * groups.sign()).view_as(w)
    top = 127 if format == "int8" else 7
    return ((groups / peak * top).round() * peak / top).view_as(w)


@pytest.mark.parametrize(("format", "group"), FORMATS)
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_the_error_is_as_reported_and_below_that_of_plain_rounding(
    format: RoundedFormat, group: int | None, rows: int
) -> None:
    w = normal(rows, 192, seed=rows)
    weight, loss = round_matrix(w, format, group=group)
    assert weight.shape == (rows, 192)
    error = weighted_error(w, weight.dequantised())
    assert error == pytest.approx(loss.relative, rel=1e-3)
    assert error <= weighted_error(w, nearest(w, format, group)) * 1.002
    if format != "int8":  # of normal values; int8 gains nothing there
        assert error < {64: 0.10, 32: 0.13}[group or 0]


@pytest.mark.parametrize(("format", "group"), FORMATS)
def test_pieces_do_not_show(format: RoundedFormat, group: int | None) -> None:
    w = normal(3 * PIECE // 1024 + 5, 1024)
    whole, _ = round_matrix(w, format, group=group)
    some, _ = round_matrix(w[7:9], format, group=group)
    assert whole.scale is not None
    assert some.scale is not None
    assert torch.equal(whole.data[7:9], some.data)
    assert torch.equal(whole.scale[7:9], some.scale)


@pytest.mark.parametrize(("format", "group"), FORMATS)
def test_values_of_the_grid_come_back_exactly(format: RoundedFormat, group: int | None) -> None:
    once = round_matrix(normal(5, 128), format, group=group)[0].dequantised()
    again, loss = round_matrix(once, format, group=group)
    assert loss.relative < 0.004  # a bfloat16 scale may be fitted to its neighbour
    assert weighted_error(once, again.dequantised()) < 0.004


@pytest.mark.parametrize(("format", "group"), FORMATS)
def test_what_is_important_is_rounded_the_more_carefully(
    format: RoundedFormat, group: int | None
) -> None:
    w, h = normal(64, 128), torch.ones(128)
    h[::16] = 300
    blind, _ = round_matrix(w, format, group=group)
    seeing, loss = round_matrix(w, format, group=group, importance_K=h)
    error = weighted_error(w, seeing.dequantised(), h)
    assert error == pytest.approx(loss.relative, rel=1e-3)
    assert error < weighted_error(w, blind.dequantised(), h)


@pytest.mark.parametrize(("format", "group"), FORMATS)
@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-12, 1e12])
def test_sizes_of_any_order(format: RoundedFormat, group: int | None, size: float) -> None:
    w = normal(2, 64) * size
    w[1] = 0
    weight, _ = round_matrix(w, format, group=group)
    back = weight.dequantised()
    assert bool(back.isfinite().all())
    assert bool((back[1] == 0).all())
    if size > 1e-30:
        assert weighted_error(w, back) < 0.15


def test_a_scale_of_int4_may_be_negative_so_that_the_peak_is_at_minus_eight() -> None:
    w = torch.zeros(1, 64)
    w[0, 3], w[0, 4] = 1.0, -0.875
    weight, loss = round_matrix(w, "int4", group=64)
    assert loss.relative < 0.003
    assert weight.scale is not None
    assert float(weight.scale) == pytest.approx(-0.125, rel=0.01)


def test_mxfp4_codes_are_the_nearest() -> None:
    size = torch.linspace(0, 6, 601)
    grid = torch.tensor(E2M1)
    off = (mxfp4.value(mxfp4.code(size.clone())) - size).abs()
    assert torch.allclose(off, (size[:, None] - grid).abs().amin(dim=1), atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("format", "group"), FORMATS)
def test_what_is_not_finite_is_named_with_its_place(
    format: RoundedFormat, group: int | None, bad: float
) -> None:
    w = normal(70, 1024)
    w[66, 5] = bad
    with pytest.raises(TensorError, match=rf"layers\.3\.mlp.*{bad}.*\[66, 5\]"):
        round_matrix(w, format, group=group, name="layers.3.mlp")


def test_losses_add_up() -> None:
    both = Loss(off=1.0, whole=4.0) + Loss(off=3.0, whole=12.0)
    assert both.relative == pytest.approx(0.5)
    assert Loss().relative == 0.0
