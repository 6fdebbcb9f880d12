"""Causal log-probabilities: exact and additive, from the hidden states of an encoding pass.

The hidden state of a token predicts the token after it. So the tokens of a canvas are predicted by
the hidden state of the last token before it, and by their own except the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from canvaslm.engine.scoring.token import Picked, join, pick_logits
from canvaslm.model.network import Network

# N tokens, L canvas, D hidden, V vocabulary

LOGITS = 1 << 24
"""Logits held at a time, 64 MB: at 262,144 tokens of vocabulary 64 positions."""


def pieces(model: Network, count: int, *, limit: int = LOGITS) -> list[slice]:
    """`count` positions in pieces whose logits are at most `limit`, or of one position."""
    step = max(limit // model.config.vocab_size, 1)
    return [slice(i, min(i + step, count)) for i in range(0, count, step)]


def score_hidden(model: Network, hidden_ND: Tensor, ids_N: Tensor, *, top: int) -> Picked:
    """Log-probabilities of `ids`, each predicted by the hidden state in its row."""
    return join(
        [
            pick_logits(model.unembed(hidden_ND[None, part])[0], ids_N[part], top=top)
            for part in pieces(model, len(ids_N))
        ]
    )


def causal_logprobs(
    model: Network, before_D: Tensor, hidden_LD: Tensor, ids_L: Tensor, *, top: int
) -> Picked:
    """Those of a committed canvas, from its encoding pass.

    `before` is the hidden state of the last token before the canvas, `hidden` those of the canvas
    itself; the last of them predicts what follows and becomes the next canvas's `before`. Fewer
    `ids` than hidden states, where the answer was cut, score the first ones.
    """
    predicting_LD = torch.cat((before_D[None], hidden_LD[: len(ids_L) - 1]))
    return score_hidden(model, predicting_LD, ids_L, top=top)


def follow(
    model: Network, hidden: Iterable[Tensor], ids: Sequence[int], *, top: int, start: int = 1
) -> tuple[Picked | None, Tensor]:
    """Score a prompt while it is encoded: ids[start:], from `hidden` [1, n, D] piece by piece.

    `start` is at least 1, as nothing predicts the first token; None where none is left. The hidden
    state of the last token [D] comes beside it. `hidden` may end before the last token's.
    """
    parts: list[Picked] = []
    done = 0
    for piece_1ND in hidden:
        last_D, count = piece_1ND[0, -1], piece_1ND.shape[1]
        first, end = max(start, done + 1), min(done + count + 1, len(ids))
        if first < end:
            targets = torch.tensor(ids[first:end], device=piece_1ND.device)
            predicting_ND = piece_1ND[0, first - 1 - done : end - 1 - done]
            parts.append(score_hidden(model, predicting_ND, targets, top=top))
        done += count
    return join(parts) if parts else None, last_D
