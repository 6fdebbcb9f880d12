"""Made-up weights that look like rounded ones, drawn by table: 16 random bits to a value or two.

A table of 65,536 entries holds the quantiles of a distribution, so a weight costs a table look-up
and no arithmetic: a model of 15 GB takes the time of writing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from canvaslm.kernels.weight import E2M1, Format

SIZE = 1 << 16
PIECE = 1 << 22  # entries drawn at once

# Standard deviations of a group's values in steps of its grid, as rounding a normal matrix gives
# them: the largest of 64 values lies at -8 of int4, that of 32 below 6 of MXFP4 and above half of
# that, that of a row of some thousand at 127 of int8.
DEVIATION = {"int4": 3.2, "mxfp4": 2.4, "int8": 35.0}
SPREAD = 0.25  # of the logarithms of scales, from group to group


@dataclass(frozen=True, eq=False)
class Table:
    """What each of 65,536 equally likely draws becomes."""

    entries: Tensor

    def draw(self, count: int, name: str, *, seed: int) -> Iterator[memoryview]:
        """The raw bytes of `count` entries, which depend on the seed and the name alone."""
        digest = blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        bits = np.random.SFC64(int.from_bytes(digest, "little"))
        entries = (
            self.entries.view(-1)
            .view({1: torch.uint8, 2: torch.int16}[self.entries.itemsize])
            .numpy()
        )
        for start in range(0, count, PIECE):
            here = min(PIECE, count - start)
            index = bits.random_raw(-(-here // 4)).view(np.uint16)[:here]
            yield entries.take(index).view(np.uint8).data


def normal(deviation: float, mean: float = 0.0) -> Table:
    """bfloat16 numbers of a normal distribution."""
    return Table((mean + deviation * quantiles()).bfloat16())


def lognormal(median: float, spread: float = SPREAD, *, signed: bool = False) -> Table:
    """bfloat16 numbers whose logarithms are normal; with `signed`, half of them negative."""
    if not signed:
        return Table((median * torch.exp(spread * quantiles())).bfloat16())
    half = median * torch.exp(spread * quantiles()[::2])
    return Table(torch.cat((half, -half)).bfloat16())


def codes(format: Format) -> Table:
    """int8 codes, or bytes of two 4-bit codes, of normal values rounded to the format's grid."""
    if format == "int8":
        return Table((DEVIATION["int8"] * quantiles()).round().clamp(-127, 127).to(torch.int8))
    share = shares(format)
    pair_share = (share[:, None] * share[None, :]).flatten()  # the byte high * 16 + low
    where = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE
    return Table(torch.searchsorted(pair_share.cumsum(0), where).clamp_max_(255).to(torch.uint8))


def scales(format: Format, deviation: float) -> Table:
    """Scales, as files hold them, of matrices whose weights deviate by `deviation`."""
    unit = deviation / DEVIATION[format]
    if format != "mxfp4":
        return lognormal(unit, signed=format == "int4")  # int4's largest value is always -8
    power = torch.log2(torch.tensor(unit)) + SPREAD / np.log(2) * quantiles()
    return Table((power.round() + 127).to(torch.uint8))


def shares(format: Format) -> Tensor:
    """How likely each of the 16 codes is: float64 [16]."""
    if format == "int4":
        edges = torch.arange(-7.5, 7.0, dtype=torch.float64) / DEVIATION["int4"]
        below = torch.special.ndtr(edges)
        return torch.diff(torch.cat((torch.zeros(1), below, torch.ones(1))))
    value = torch.tensor(E2M1, dtype=torch.float64)
    edges = (value[1:] + value[:-1]) / 2 / DEVIATION["mxfp4"]
    beyond = 1 - torch.special.ndtr(edges)  # of a positive value
    positive = -torch.diff(torch.cat((torch.full((1,), 0.5), beyond, torch.zeros(1))))
    return torch.cat((positive, positive))


def quantiles() -> Tensor:
    """Those of the normal distribution, in the middle of 65,536 equal shares: float32."""
    where = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE
    found: Tensor = torch.special.ndtri(where)
    return found.float()
