"""Batches: padded documents, their noised canvases, and what each counts for in a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer

# B documents, N document tokens, R canvases (a whole number for each document), L canvas length


Guess = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""guess(rows [r], canvas [r, L], before): logits [r, L, V] of a pass without gradient over the
canvases of `rows`; `before` [r, L, V] are the logits it is conditioned on, None: none."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Documents [B, N] padded on the right, and noised canvases [R, L] of each.

    `causal_BN` marks the tokens that the causal loss predicts; `prefix_B` is where each canvas
    begins; `sighted_R` marks the canvases that are given their own first guess. `held` above 0:
    nothing is learnt from it but to go on saying what the base says (`training.hold`), and canvases
    count that much. `weight` is a factor on the loss of canvases, whatever it is.
    """

    documents_BN: Tensor
    causal_BN: Tensor
    prefix_B: Tensor
    clean_RL: Tensor
    noised_RL: Tensor
    sighted_R: Tensor
    held: float = 0.0
    weight: float = 1.0

    @property
    def tokens(self) -> int:
        return self.documents_BN.numel() + self.clean_RL.numel()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device) -> Batch:
        moved: dict[str, Any] = {name: value.to(device) for name, value in self.tensors.items()}
        return replace(self, **moved)

    def after(self, guess: Guess) -> Batch:
        """The batch once the model has seen it: as it is, unless canvases take its own outputs."""
        del guess
        return self

    @property
    def told(self) -> tuple[Tensor, Tensor] | None:
        """Canvases [r] that come with the logits [r, L, V] their self-conditioning is made of."""
        return None

    @property
    def certainty(self) -> float:
        """What a nat of doubt costs where the likeliest token of a canvas is right."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Micro:
    """A micro-batch of one step; its two mean losses count as much as their weights say."""

    name: str
    batch: Batch
    canvas_weight: float = 1.0
    causal_weight: float = 1.0


class Feed(Protocol):
    """Data, opened: every batch is a pure function of the seed and the step."""

    @property
    def fingerprint(self) -> str:
        """Differs where the data differ; a run goes on with the data it was started with."""
        ...

    @property
    def own(self) -> bool:
        """Whether any batch, of whatever step, is made of the model's own outputs."""
        ...

    def micros(self, step: int) -> list[Micro]:
        """The micro-batches of one optimiser step; their gradients add up."""
        ...

    def held_out(self, count: int) -> list[Micro]:
        """At most `count` micro-batches that no step learns from, the same every time."""
        ...


def weigh(name: str, batches: Sequence[Batch]) -> list[Micro]:
    """Micro-batches that add up to one large batch: each token counts the same."""
    canvas = sum(batch.clean_RL.numel() for batch in batches)
    causal = sum(int(batch.causal_BN.sum()) for batch in batches)
    return [
        Micro(
            name=name,
            batch=batch,
            canvas_weight=batch.clean_RL.numel() / canvas,
            causal_weight=int(batch.causal_BN.sum()) / max(1, causal),
        )
        for batch in batches
    ]


def control(tokenizer: Tokenizer, name: str) -> int:
    """The id of a control token. Raises TrainingError if the vocabulary lacks it."""
    id = tokenizer.token_id(name)
    if id is None:
        raise TrainingError(f"the vocabulary has no {name}: training needs one that does")
    return id


def pad(rows: Sequence[Sequence[int]], length: int, fill: int) -> Tensor:
    """Rows of different lengths as one int64 [B, length]."""
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
