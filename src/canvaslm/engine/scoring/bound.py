"""The loss rate of uniform-state discrete diffusion: what a bound on log p integrates over time.

The forward process. At time t in [0, 1] each position holds its own token x with probability
a + c and any other with probability c, where a = 1 - t and c = t / V:

    q_t(z | x) = a [z = x] + c.

That is a Markov chain in continuous time: d q_t / dt = (q_t - 1/V) a'/a, so every position jumps to
each other token at the rate b = 1 / (V (1 - t)).

Its reversal. Given x, a position at z goes back to y != z at the rate
R_x(y) = b q_t(y | x) / q_t(z | x). Without x, that averages over what x may be, given the whole
canvas: R(y) = sum_x p(x | canvas) R_x(y). A canvas changes one position at a time, so the marginals
p(x_i | canvas) are all that is asked for, and they are what the denoiser estimates: it was trained
by cross-entropy on whole canvases. (UDLM, arXiv 2412.10193, puts a network's output into
q_t(y | .) / q_t(z | .) instead, whose optimum is p(x_i | the canvas without position i). The two
agree when p is divided by q_t(z | .) and normalised, so this is their bound for a denoiser that
reads its own position.)

The bound. Let the model run its reversal from uniform noise at t = 1, where q_1 is uniform whatever
x is, to t = 0, where z = x. The law of a path with end x is then at most this far from the model's:

    -log p(x) <= E_path KL = integral over t of E_z sum_i sum_{y != z_i} b phi_i(y),
    phi(y) = G(y) - g(y) + g(y) log(g(y) / G(y)) >= 0,

with the two rates in units of b: g(y) = q_t(y | x) / q_t(z | x), and with p the denoiser's,

    G(y) = sum_x' p(x') q_t(y | x') / q_t(z | x') = 1 - p(z) a / (a + c) + p(y) a / c.

With the exact posterior as p the bound is an equality for every x, since the end of a path is all
that x adds to knowing the path.

The end. A denoiser that is not told the time doubts even a clean canvas a little, rates grow like
1 / t towards t = 0, and the integral would be infinite. So the reversal runs to t_0 > 0 only and
there takes a token for every position from p, each for itself:

    -log p(x) <= integral from t_0 to 1 + E_{z at t_0} sum_i -log p(x_i | z).
"""

from __future__ import annotations

from torch import Tensor

# N positions, V vocabulary


def loss_rate(p_NV: Tensor, clean_N: Tensor, noisy_N: Tensor, t: float) -> Tensor:
    """sum over y of b phi(y) for each position, in nats per unit of time: float64 [N].

    `p` is what the denoiser believes of each position, float64, on a canvas that holds `noisy` at
    time t in (0, 1), while the truth is `clean`.
    """
    vocab_size = p_NV.shape[-1]
    a, c = 1 - t, t / vocab_size
    forth, back, rest = a / (a + c), a / c, c / (a + c)  # rest = 1 - forth
    moved_N1 = (clean_N != noisy_N)[:, None]
    p_clean_N1 = p_NV.gather(-1, clean_N[:, None])
    p_noisy_N1 = p_NV.gather(-1, noisy_N[:, None])
    one = p_NV.new_tensor(1.0)
    base_N1 = (1 - p_noisy_N1) + p_noisy_N1 * rest  # of G, for every y
    # every y as if it were not x: g is 1, or `rest` where the canvas holds x
    g_N1 = one.where(moved_N1, one * rest)
    gap_N1 = (-p_noisy_N1 * forth).where(moved_N1, (1 - p_noisy_N1) * forth)
    phi_NV = divergence(g_N1, base_N1 + p_NV * back, gap_N1 + p_NV * back)
    # y = x, where the canvas holds another token
    gap_N1 = -(p_noisy_N1 * forth + (1 - p_clean_N1) * back)
    towards_N1 = divergence(one + back, base_N1 + p_clean_N1 * back, gap_N1)
    phi_NV.scatter_(-1, clean_N[:, None], towards_N1)
    phi_NV.scatter_(-1, noisy_N[:, None], 0.0)
    return phi_NV.sum(dim=-1) / (vocab_size * a)


def divergence(g: Tensor, model: Tensor, gap: Tensor) -> Tensor:
    """G - g + g log(g / G) for G = `model` = g + `gap`, exact where the two are close or far."""
    share = gap / g
    near = share.clamp(-0.5, 0.5)
    return g * (share - near.log1p().where(near == share, model.log() - g.log()))
