"""What a network answers: a prompt's logits, then a canvas's behind it."""

import torch
from tests.model.dense_attend import DensePrefix
from torch import Tensor

from canvaslm.model.network import Network


def answers(network: Network, *, rows: slice = slice(None), signal: bool = True) -> list[Tensor]:
    """Logits [B, 9, V] and [B, 6, V], of some rows of a fixed batch of three."""
    config = network.config
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(config.vocab_size, (3, 9), generator=generator)[rows]
    canvas = torch.randint(config.vocab_size, (3, 6), generator=generator)[rows]
    soft = torch.randn(3, 6, config.hidden_size, generator=generator)[rows] if signal else None
    batch, prefix = len(ids), DensePrefix(config)
    place = torch.arange(9).expand(batch, -1)
    causal = network.unembed(network.encode(ids, place, prefix.encode(place)))
    attend = prefix.denoise(torch.full((batch,), 9))
    positions = 9 + torch.arange(6).expand(batch, -1)
    return [causal, network.unembed(network.denoise(canvas, soft, positions, attend))]


def far(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest relative error in norm."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)
