"""A lower bound on the log-probability that the diffusion process gives an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.checks import check_integer
from canvaslm.engine.encode import extend, extend_all
from canvaslm.engine.params import SEEDS
from canvaslm.engine.prompt import Ids, Prompt, read_prompt
from canvaslm.engine.scoring.bound import loss_rate
from canvaslm.engine.scoring.causal import LOGITS, pieces, score_hidden
from canvaslm.engine.scoring.score import read_plain
from canvaslm.errors import ContextLengthError
from canvaslm.model.config import ModelConfig
from canvaslm.model.network import Network
from canvaslm.text.tokenizer import Tokenizer

# L canvas, D hidden, V vocabulary

END = 0.001
"""The time at which the process stops and takes what it believes: the least noise in training."""


@dataclass(frozen=True, kw_only=True)
class Elbo:
    """An estimate of the bound, in nats.

    mean            log p(answer's canvases) is at least this, up to the estimate's error
    standard_error  of the mean, over noise and times; None from one sample, which tells nothing
    tokens          of the answer, its closing one included; the eos after it are in `mean`, too
    canvases        how many there are, each with `samples` noised copies
    """

    mean: float
    standard_error: float | None
    tokens: int
    canvases: int
    samples: int

    @property
    def nats_per_token(self) -> float:
        """-mean over tokens."""
        return -self.mean / self.tokens

    @property
    def bits_per_token(self) -> float:
        """-mean over tokens, in bits."""
        return self.nats_per_token / math.log(2)


@torch.inference_mode()
def elbo(
    model: Network,
    pool: Pool,
    prompt: Prompt,
    answer: str | Ids,
    *,
    samples: int,
    seed: int,
    tokenizer: Tokenizer | None,
    eos_ids: frozenset[int],
) -> Elbo:
    """What `LM.elbo` does. Each canvas is judged after the prompt and the canvases before it."""
    check_integer("samples", samples, least=1)
    check_integer("seed", seed, least=0, below=SEEDS)
    before = read_prompt(prompt, tokenizer=tokenizer, config=model.config)
    said = read_plain(answer, "answer", tokenizer, model.config)
    closed = close(said, tokenizer, eos_ids, model.config)
    rows = fill(closed, model.config)
    check_room(len(before), len(rows), model.config)
    means, variances = [], []
    with Prefix(pool) as prefix:
        for _ in extend_all(model, prefix, before):
            pass
        for canvas, row in enumerate(rows):
            if canvas:
                extend(model, [prefix], torch.tensor([rows[canvas - 1]], device=pool.device))
            clean_L = torch.tensor(row, device=pool.device)
            losses = sample(model, prefix, clean_L, samples=samples, seed=seed, canvas=canvas)
            means.append(math.fsum(losses) / samples)
            variances.append(variance(losses))
    known = [v for v in variances if v is not None]
    return Elbo(
        mean=-math.fsum(means),
        standard_error=math.sqrt(math.fsum(known)) if known else None,
        tokens=len(closed),
        canvases=len(rows),
        samples=samples,
    )


def close(
    answer: tuple[int, ...],
    tokenizer: Tokenizer | None,
    eos_ids: frozenset[int],
    config: ModelConfig,
) -> tuple[int, ...]:
    """The answer as a model ends one: with the end of a turn, or eos where that closes nothing."""
    if answer[-1] in eos_ids:
        return answer
    turn = None if tokenizer is None else tokenizer.token_id("<turn|>")
    return (*answer, turn if turn is not None and turn in eos_ids else config.eos_ids[0])


def fill(closed: tuple[int, ...], config: ModelConfig) -> list[list[int]]:
    """Whole canvases, the last one filled up with eos."""
    length = config.canvas_length
    padded = [*closed, *[config.eos_ids[0]] * (-len(closed) % length)]
    return [padded[i : i + length] for i in range(0, len(padded), length)]


def check_room(prompt: int, canvases: int, config: ModelConfig) -> None:
    """Raise ContextLengthError if the canvases do not fit after the prompt."""
    needed = prompt + canvases * config.canvas_length
    if needed > config.max_positions:
        raise ContextLengthError(
            f"the prompt has {prompt} tokens and the answer fills {canvases} canvases of "
            f"{config.canvas_length}, together {needed}; the model's context is "
            f"{config.max_positions}: shorten one of them"
        )


def sample(
    model: Network, prefix: Prefix, clean_L: Tensor, *, samples: int, seed: int, canvas: int
) -> list[float]:
    """Estimates of a canvas's bound, negated, from one random time in each of `samples` equal parts
    of (END, 1) and the noise at END."""
    length, losses = len(clean_L), []
    noise = UniformNoise(vocab_size=model.config.vocab_size)
    for step in range(samples):
        numbers = torch.tensor(
            uniforms(seed, canvas=canvas, step=step, stream=Stream.SCORE, count=2 * length + 1)
        )
        t = END + (1 - END) * (step + float(numbers[-1])) / samples
        noised_2L = numbers[:length] < torch.tensor([[t], [END]])
        token_L = noise.tokens(numbers[length:-1]).to(clean_L.device)
        noisy_2L = token_L.where(noised_2L.to(clean_L.device), clean_L)
        on_way_LD, at_end_LD = look(model, prefix, noisy_2L)
        rate = canvas_rate(model, on_way_LD, clean_L, noisy_2L[0], t)
        end = float(score_hidden(model, at_end_LD, clean_L, top=0).logprob.double().sum())
        losses.append((1 - END) * rate - end)
    return losses


def look(model: Network, prefix: Prefix, noisy_BL: Tensor) -> Tensor:
    """Hidden states [B, L, D] of canvases whose self-conditioning is the model's own first guess,
    as it was for half of the canvases in training."""
    attend = Bidirectional([prefix] * len(noisy_BL))
    positions_L = prefix.length + torch.arange(noisy_BL.shape[1], device=noisy_BL.device)
    positions_BL = positions_L.expand_as(noisy_BL)
    guess_BLD = model.denoise(noisy_BL, None, positions_BL, attend)
    guess_1TD = guess_BLD.flatten(0, 1)[None]
    soft = [
        model.blend(model.unembed(guess_1TD[:, part]).softmax(dim=-1))
        for part in pieces(model, noisy_BL.numel())
    ]
    soft_BLD = torch.cat(soft, dim=1).view_as(guess_BLD)
    return model.denoise(noisy_BL, soft_BLD, positions_BL, attend)


def canvas_rate(
    model: Network, hidden_LD: Tensor, clean_L: Tensor, noisy_L: Tensor, t: float
) -> float:
    """The loss rate of the whole canvas at time t."""
    total = 0.0
    for part in pieces(model, len(clean_L), limit=LOGITS // 8):  # float64, and several of them
        p_NV = model.unembed(hidden_LD[None, part])[0].softmax(dim=-1, dtype=torch.float64)
        total += float(loss_rate(p_NV, clean_L[part], noisy_L[part], t).sum())
    return total


def variance(losses: Sequence[float]) -> float | None:
    """Of the mean, from differences of neighbours: times are stratified, so that the spread over
    all of them would count what varies with time. None of one sample."""
    if len(losses) < 2:
        return None
    squares = math.fsum((b - a) ** 2 for a, b in pairwise(losses))
    return squares / (2 * (len(losses) - 1) * len(losses))
