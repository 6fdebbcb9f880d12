"""Leave-one-out log-probabilities: each token judged by the denoiser from all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Prefix
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.scoring.causal import score_hidden
from canvaslm.engine.scoring.token import Picked, join
from canvaslm.model.network import Network

# R rows of a batch, L canvas, D hidden, V vocabulary

ROWS = 8
"""Canvases denoised at a time."""


def leave_one_out(
    model: Network,
    prefix: Prefix,
    canvas_L: Tensor,
    *,
    count: int,
    seed: int,
    canvas: int = 0,
    top: int,
    rows: int = ROWS,
) -> Picked:
    """`loo` of the first `count` tokens of a committed canvas, in as many forwards, `rows` at once.

    log p(x_i | canvas), where position i holds a random token other than x_i, drawn with `seed` and
    the canvas's number, and all other positions their own. Self-conditioning is what a last step
    would give that is certain of all other tokens and knows nothing of x_i: the one-hot embeddings
    of the others, and zero at i. Temperature is 1. `prefix` is what stands before the canvas. The
    values do not add up to the log-probability of the canvas: each is given all other tokens.
    """
    noise_L = other_tokens(model, canvas_L, seed=seed, canvas=canvas)
    places = range(count)
    return join(
        [
            score_places(model, prefix, canvas_L, noise_L, places[i : i + rows], top=top)
            for i in range(0, count, rows)
        ]
    )


def other_tokens(model: Network, canvas_L: Tensor, *, seed: int, canvas: int) -> Tensor:
    """A random token for each position, different from the one it holds: int64 [L]."""
    numbers = uniforms(seed, canvas=canvas, step=0, stream=Stream.SCORE, count=len(canvas_L))
    draw_L = torch.tensor(numbers, device=canvas_L.device)
    token_L = (draw_L * (model.config.vocab_size - 1)).long()
    return token_L + (token_L >= canvas_L)


def score_places(
    model: Network,
    prefix: Prefix,
    canvas_L: Tensor,
    noise_L: Tensor,
    places: Sequence[int],
    *,
    top: int,
) -> Picked:
    """The tokens at `places`, one canvas for each in one batch."""
    place_R = torch.tensor(places, device=canvas_L.device)
    row_R = torch.arange(len(places), device=canvas_L.device)
    ids_RL = canvas_L.repeat(len(places), 1)
    ids_RL[row_R, place_R] = noise_L[place_R]
    soft_RLD = one_hot(model, canvas_L).repeat(len(places), 1, 1)
    soft_RLD[row_R, place_R] = 0
    positions_1L = prefix.length + torch.arange(len(canvas_L), device=canvas_L.device)[None]
    attend = Bidirectional([prefix] * len(places))
    hidden_RLD = model.denoise(ids_RL, soft_RLD, positions_1L.expand_as(ids_RL), attend)
    return score_hidden(model, hidden_RLD[row_R, place_R], canvas_L[place_R], top=top)


def one_hot(model: Network, ids_L: Tensor) -> Tensor:
    """The soft embedding of certainty, without a [L, V] tensor: [L, D]."""
    return F.embedding(ids_L, model.embedding) * math.sqrt(model.config.hidden_size)
