"""The bound, where everything is known: -log p for the exact denoiser, never less for another."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from canvaslm.engine.scoring.bound import divergence, loss_rate

V = 3
Believe = Callable[[tuple[int, ...], float], Tensor]
"""A noisy canvas and its time to p(x_i | canvas): [L, V]."""


def quadrature(f: Callable[[float], float], *, start: float = 0.0, nodes: int = 28) -> float:
    """The integral over (start, 1), with nodes drawn to 0 where f grows like log t or 1 / t."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    low = start ** (1 / 3)
    u, w = low + (1 - low) * (x + 1) / 2, (1 - low) * w / 2
    return float(sum(w_i * 3 * u_i**2 * f(u_i**3) for u_i, w_i in zip(u, w, strict=True)))


def expected(clean: tuple[int, ...], t: float, loss: Callable[[tuple[int, ...]], float]) -> float:
    """The mean of a loss over all noisy canvases at time t."""
    total = 0.0
    for noisy in product(range(V), repeat=len(clean)):
        chances = [(1 - t) * (z == x) + t / V for z, x in zip(noisy, clean, strict=True)]
        total += math.prod(chances) * loss(noisy)
    return total


def nelbo(clean: tuple[int, ...], believe: Believe, *, end: float = 0.0) -> float:
    """The bound, all noisy canvases enumerated; with `end` 0 the integral alone."""
    truth = torch.tensor(clean)

    def rate(t: float) -> float:
        return expected(
            clean,
            t,
            lambda z: float(loss_rate(believe(z, t), truth, torch.tensor(z), t).sum()),
        )

    def surprise(z: tuple[int, ...]) -> float:
        return -float(believe(z, end).gather(-1, truth[:, None]).log().sum())

    return quadrature(rate, start=end) + (expected(clean, end, surprise) if end else 0.0)


def posterior(p: np.ndarray) -> Believe:
    """The exact denoiser of data with joint probabilities `p` [V] * L."""

    def believe(noisy: tuple[int, ...], t: float) -> Tensor:
        joint = p.copy()
        for axis, z in enumerate(noisy):
            shape = [1] * p.ndim
            shape[axis] = V
            joint *= ((1 - t) * (np.arange(V) == z) + t / V).reshape(shape)
        joint /= joint.sum()
        axes = range(p.ndim)
        return torch.tensor(
            np.stack([joint.sum(axis=tuple(a for a in axes if a != axis)) for axis in axes])
        )

    return believe


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_exact_denoiser_closes_the_gap(length: int, seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.full(V**length, 0.7)).reshape([V] * length)
    exact = posterior(p)
    for clean in product(range(V), repeat=length):
        assert nelbo(clean, exact) == pytest.approx(-np.log(p[clean]), rel=2e-4, abs=2e-4)


@pytest.mark.parametrize("end", [0.001, 0.3])
def test_one_position_may_end_early(end: float) -> None:
    p = np.array([0.6, 0.3, 0.1])
    for x in range(V):
        bound = nelbo((x,), posterior(p), end=end)
        assert bound == pytest.approx(-np.log(p[x]), rel=2e-4, abs=2e-4)


def test_several_positions_pay_for_an_early_end_by_what_they_share() -> None:
    p = np.array([[0.45, 0.05, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.2]]) + 1e-9
    p /= p.sum()
    entropy = -float((p * np.log(p)).sum())
    cost = [
        sum(p[x] * nelbo(x, posterior(p), end=end) for x in product(range(V), repeat=2))
        for end in (0.001, 0.3)
    ]
    assert entropy <= cost[0] + 1e-4
    assert cost[0] == pytest.approx(entropy, abs=0.003)
    assert cost[1] > entropy + 0.01


@pytest.mark.parametrize("seed", range(2))
def test_another_denoiser_pays_for_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(V**2)).reshape(V, V)
    table = torch.tensor(rng.dirichlet(np.ones(V), size=(V, V, 2)))
    entropy = -float((p * np.log(p)).sum())
    wrong = posterior(rng.dirichlet(np.ones(V**2)).reshape(V, V))
    for believe in (wrong, lambda noisy, t: table[noisy]):
        cost = sum(p[x] * nelbo(x, believe, end=0.01) for x in product(range(V), repeat=2))
        assert cost > entropy


def test_a_certain_and_right_denoiser_pays_nothing() -> None:
    clean = torch.tensor([4, 0, 2])
    p = torch.nn.functional.one_hot(clean, 6).double()
    for noisy in ([4, 0, 2], [1, 0, 3]):
        for t in (1e-9, 0.3, 1 - 1e-12):
            loss = loss_rate(p, clean, torch.tensor(noisy), t)
            torch.testing.assert_close(loss, torch.zeros(3, dtype=torch.float64))


def test_it_is_the_sum_over_rates() -> None:
    """Against the definition, term by term."""
    generator = torch.Generator().manual_seed(0)
    size, t = 11, 0.37
    p = torch.randn(4, size, generator=generator, dtype=torch.float64).softmax(dim=-1)
    clean, noisy = torch.tensor([3, 3, 0, 10]), torch.tensor([3, 4, 1, 10])
    q = (1 - t) * torch.eye(size, dtype=torch.float64) + t / size  # q[x, z]
    for i in range(4):
        x, z = clean[i], noisy[i]
        g, model = q[x] / q[x, z], (p[i][:, None] * q / q[:, z, None]).sum(dim=0)
        terms = model - g + g * (g / model).log()
        expected = (terms.sum() - terms[z]) / (size * (1 - t))
        actual = loss_rate(p[i : i + 1], x[None], z[None], t)
        torch.testing.assert_close(actual[0], expected)


def test_a_huge_vocabulary_and_extreme_times_stay_finite() -> None:
    size = 262_144
    p = torch.full((2, size), 1e-30, dtype=torch.float64)
    p[:, 0] = 1 - 1e-12
    clean, noisy = torch.tensor([5, 5]), torch.tensor([5, 0])
    for t in (1e-9, 1e-3, 0.5, 1 - 1e-9, 1 - 1e-15):
        loss = loss_rate(p, clean, noisy, t)
        assert loss.isfinite().all()
        assert (loss >= 0).all()


def test_close_rates_do_not_cancel() -> None:
    g, gap = torch.tensor(3.0, dtype=torch.float64), torch.tensor(3e-9, dtype=torch.float64)
    expected = 3.0 * (1e-9) ** 2 / 2
    assert float(divergence(g, g + gap, gap)) == pytest.approx(expected, rel=1e-6)
