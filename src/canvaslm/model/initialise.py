"""Random initial weights, as the released code draws them: any tensor alone, by seed and name."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import prod

import torch
from torch import Tensor

from canvaslm.model.transformer import Transformer

STANDARD_DEVIATION = 0.02
PIECE = 1 << 22  # values drawn at once in float32


def initialise(model: Transformer, *, seed: int) -> None:
    """Fill every weight in place: the same seed gives the same model, in any dtype up to rounding.

    Matrices are normal with deviation 0.02, norms and scales are 1, the padding token's row is 0.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            initial = initial_tensor(
                name, tensor.shape, seed=seed, dtype=tensor.dtype, pad_id=model.config.pad_id
            )
            tensor.copy_(initial)


def initial_tensor(
    name: str, shape: Sequence[int], *, seed: int, dtype: torch.dtype, pad_id: int
) -> Tensor:
    """The initial value of the network's parameter `name`, without building the network."""
    if len(shape) == 1:
        return torch.ones(shape, dtype=dtype)
    drawn = draw(name, shape, seed=seed, dtype=dtype)
    if name == "embedding":
        drawn[pad_id] = 0
    return drawn


def draw(name: str, shape: Sequence[int], *, seed: int, dtype: torch.dtype) -> Tensor:
    """Normal values that depend on the seed and the name alone, drawn in float32 piece by piece."""
    digest = blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    out = torch.empty(prod(shape), dtype=dtype)
    for start in range(0, len(out), PIECE):
        piece = out[start : start + PIECE]
        fresh = torch.empty(len(piece), dtype=torch.float32)
        piece.copy_(fresh.normal_(std=STANDARD_DEVIATION, generator=generator))
    return out.view(*shape)
