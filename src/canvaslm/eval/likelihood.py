"""How likely a model finds texts, left to right and by diffusion, in bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from canvaslm.engine.scoring.elbo import Elbo
from canvaslm.engine.scoring.score import Scores
from canvaslm.errors import ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.text.tokenizer import Tokenizer


class Judge(Protocol):
    """What is measured: an `LM`."""

    config: ModelConfig

    @property
    def tokenizer(self) -> Tokenizer: ...

    def score(self, prompt: Sequence[int], *, continuation: Sequence[int]) -> Scores: ...

    def elbo(
        self, prompt: Sequence[int], answer: Sequence[int], *, samples: int, seed: int
    ) -> Elbo: ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a text, judged by itself: nats are minus log-probabilities. `sampling` is the
    variance of `bound`, None of one sample; both are None where no bound was asked for."""

    tokens: int
    bytes: int
    causal: float
    bound: float | None = None
    sampling: float | None = None


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """What the parts of some texts come to.

    perplexity     left to right, per token
    causal, causal_error
                   bits per byte left to right, and their standard error over the parts
    bound, bound_error
                   at most so many bits per byte by diffusion, closing tokens included
    sampling_error the part of `bound_error` that more samples would take away
    """

    parts: int
    tokens: int
    bytes: int
    perplexity: float
    causal: float
    causal_error: float | None
    bound: float | None = None
    bound_error: float | None = None
    sampling_error: float | None = None

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Likelihood:
        """Of at least one part."""
        sizes = [float(part.bytes) for part in parts]
        causal, causal_error = per_byte([part.causal for part in parts], sizes)
        bounds = [part.bound for part in parts if part.bound is not None]
        variances = [part.sampling for part in parts if part.sampling is not None]
        tokens = sum(part.tokens for part in parts)
        mean = math.fsum(part.causal for part in parts) / tokens
        bound, bound_error = per_byte(bounds, sizes) if bounds else (None, None)
        error = math.sqrt(math.fsum(variances)) / math.log(2) / sum(sizes) if variances else None
        return cls(
            parts=len(parts),
            tokens=tokens,
            bytes=sum(part.bytes for part in parts),
            perplexity=math.exp(mean) if mean < 700 else math.inf,
            causal=causal,
            causal_error=causal_error,
            bound=bound,
            bound_error=error if bound_error is None else bound_error,
            sampling_error=error,
        )


def per_byte(nats: Sequence[float], sizes: Sequence[float]) -> tuple[float, float | None]:
    """Bits per byte over all parts, and the standard error of that ratio; None of one part."""
    n, size = len(nats), math.fsum(sizes)
    rate = math.fsum(nats) / size
    if n == 1:
        return rate / math.log(2), None
    squares = math.fsum((one - rate * length) ** 2 for one, length in zip(nats, sizes, strict=True))
    return rate / math.log(2), math.sqrt(squares * n / (n - 1)) / size / math.log(2)


def parts_of(
    text: str, tokenizer: Tokenizer, config: ModelConfig, *, most: int | None = None
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What stands before a part, and the part: each follows the start of a text, none another part.

    A part has at most `most` tokens; by default it fills four canvases with its closing token, or
    as many as the context holds. Raises ParameterError for a text without tokens, or no room.
    """
    ids = tokenizer.encode(text, special=False)
    if tokenizer.bos_id is not None:
        ids = [tokenizer.bos_id, *ids]
    start, ids = tuple(ids[:1]), ids[1:]
    if not ids:
        raise ParameterError("there is nothing to judge: a text needs two tokens or more")
    canvases = (config.max_positions - len(start)) // config.canvas_length
    room = canvases * config.canvas_length - 1
    if room < 1 or (most is not None and not 1 <= most <= room):
        raise ParameterError(f"a part must have between 1 and {room} tokens, got {most}")
    size = min(room, 4 * config.canvas_length - 1) if most is None else most
    for first in range(0, len(ids), size):
        yield start, tuple(ids[first : first + size])


def judge(
    lm: Judge,
    text: str,
    *,
    samples: int | None = 16,
    seed: int = 0,
    most: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Part]:
    """Each part of a text. `samples` are those of the bound, None leaves it out; `progress` is
    called with the tokens of each part. Raises ParameterError, and what `LM.score` does."""
    found = []
    for before, part in parts_of(text, lm.tokenizer, lm.config, most=most):
        scores = lm.score(before, continuation=part)
        size = scores.bytes or 0
        bound = None if samples is None else lm.elbo(before, part, samples=samples, seed=seed)
        error = None if bound is None else bound.standard_error
        found.append(
            Part(
                tokens=len(part),
                bytes=size,
                causal=-scores.sum,
                bound=None if bound is None else -bound.mean,
                sampling=None if error is None else error**2,
            )
        )
        if progress is not None:
            progress(len(part))
    return found
