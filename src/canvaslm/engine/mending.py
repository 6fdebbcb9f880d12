"""Verify and repair: the causal mode reads a settled canvas; what it doubts is drafted again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from canvaslm.cache.pages import Prefix
from canvaslm.engine.encode import extend
from canvaslm.engine.scoring.causal import causal_logprobs
from canvaslm.errors import ParameterError
from canvaslm.model.network import Network

# L canvas, N tokens of it that would be said, D hidden


@dataclass(frozen=True, kw_only=True)
class Mend:
    """How a canvas is mended; of all its drafts the one is kept that the causal mode finds
    likeliest.

    rounds  drafts beyond the first, at most
    trust   none is made once the causal mode gives every token of the best one this probability
    doubt   tokens of the best draft below this causal probability are noised and the others kept as
            a warm start (after S2D2, arXiv 2603.25702); None: every draft starts from noise
    """

    rounds: int = 2
    trust: float = 0.9
    doubt: float | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ParameterError(f"rounds must be at least 1, got {self.rounds!r}")
        for name in ("trust", "doubt"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ParameterError(f"{name} must be a probability above 0, got {value!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A settled canvas [L], and the log-probabilities [N] of the tokens that would be said."""

    canvas: Tensor
    logprobs: Tensor

    @property
    def score(self) -> float:
        return float(self.logprobs.sum())

    def trusted(self, trust: float) -> bool:
        """Whether every token has at least this probability."""
        return not bool((self.logprobs < math.log(trust)).any())

    def warm(self, doubt: float) -> tuple[int, ...]:
        """The canvas with -1 for each token of less probability."""
        doubted = self.logprobs < math.log(doubt)
        ids = self.canvas.clone()
        ids[: len(doubted)][doubted] = -1
        return tuple(ids.tolist())


def judge(
    model: Network, prefix: Prefix, last_D: Tensor, canvas_L: Tensor, ids: Sequence[int]
) -> Judged:
    """Read `ids`, the first ones of a canvas, behind a prefix whose last hidden state is `last`."""
    with prefix.fork() as fork:
        hidden_1ND = extend(model, [fork], canvas_L[None, : len(ids)])
    picked = causal_logprobs(model, last_D, hidden_1ND[0], canvas_L[: len(ids)], top=0)
    return Judged(canvas=canvas_L, logprobs=picked.logprob)
