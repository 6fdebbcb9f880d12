"""The log-probability of a token: as tensors while it is computed, then for a caller to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from canvaslm.engine.prompt import need_tokenizer
from canvaslm.text.tokenizer import Tokenizer

# N tokens, K alternatives, V vocabulary


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """A token, its log-probability in nats, and the likeliest tokens in its place, best first.

    `top` holds (token id, log-probability), as many as were asked for; the token itself may be
    among them.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    tokenizer: Tokenizer | None = field(default=None, repr=False, compare=False)

    @property
    def token_bytes(self) -> bytes:
        """The bytes the token stands for; of a control token, its name.

        Raises MissingTokenizerError without a tokenizer, as `text` does.
        """
        return need_tokenizer(self.tokenizer).token_bytes(self.token_id)

    @property
    def text(self) -> str:
        """`token_bytes` as text; a part of a character becomes U+FFFD."""
        return self.token_bytes.decode("utf-8", errors="replace")


class Picked(NamedTuple):
    """Log-probabilities of N tokens [N], and of the K likeliest in their places [N, K]."""

    logprob: Tensor
    top_ids: Tensor
    top: Tensor

    def keep(self, count: int) -> Picked:
        """Those of the first `count` tokens."""
        return Picked(*(part[:count] for part in self))

    def where(self, mask_N: Tensor, other: Picked) -> Picked:
        """These where `mask` is true, else `other`'s."""
        mask_N1 = mask_N[:, None]
        return Picked(
            self.logprob.where(mask_N, other.logprob),
            self.top_ids.where(mask_N1, other.top_ids),
            self.top.where(mask_N1, other.top),
        )

    def tokens(
        self, ids: Sequence[int], tokenizer: Tokenizer | None = None
    ) -> tuple[TokenLogprob, ...]:
        """For a caller to read: the tokens `ids`, as many as are here. Waits for the device."""
        rows = zip(self.logprob.tolist(), self.top_ids.tolist(), self.top.tolist(), strict=True)
        return tuple(
            TokenLogprob(
                token_id=id,
                logprob=logprob,
                top=tuple(zip(top_ids, top, strict=True)),
                tokenizer=tokenizer,
            )
            for id, (logprob, top_ids, top) in zip(ids, rows, strict=True)
        )


def join(parts: Sequence[Picked]) -> Picked:
    """One after the other."""
    return parts[0] if len(parts) == 1 else Picked(*map(torch.cat, zip(*parts, strict=True)))


def pick_logits(logits_NV: Tensor, ids_N: Tensor, *, top: int) -> Picked:
    """Log-softmax of the logits at `ids`, and the `top` likeliest."""
    total_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
    values_NK, top_ids_NK = logits_NV.topk(top, dim=-1)
    chosen_N1 = logits_NV.gather(-1, ids_N[:, None]) - total_N1
    return Picked(chosen_N1[:, 0], top_ids_NK, values_NK - total_N1)


def pick_probabilities(p_NV: Tensor, ids_N: Tensor, *, top: int) -> Picked:
    """Logarithms of the probabilities at `ids`, -inf at 0, and the `top` likeliest."""
    values_NK, top_ids_NK = p_NV.topk(top, dim=-1)
    return Picked(p_NV.gather(-1, ids_N[:, None])[:, 0].log(), top_ids_NK, values_NK.log())
