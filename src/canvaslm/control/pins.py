"""Tokens that a canvas must hold at given positions, whatever the model says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from canvaslm.errors import ParameterError

# L canvas, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Token ids by position in the answer, 0 the first token after the prompt.

    A pin works in both channels: the logits allow only its token, so that its entropy is 0 and its
    self-conditioning exact, and the token is written again after every re-noise.
    """

    tokens: Mapping[int, int]

    def __post_init__(self) -> None:
        for place, id in self.tokens.items():
            if place < 0 or id < 0:
                raise ParameterError(
                    f"a pin puts a token id at a position of the answer, both 0 or more, got "
                    f"{id!r} at {place!r}"
                )

    def on_canvas(self, start: int, length: int, device: torch.device) -> CanvasPins | None:
        """The pins on the canvas that begins at `start`; None: it has none."""
        here = {p - start: id for p, id in self.tokens.items() if start <= p < start + length}
        return CanvasPins(tokens=here, length=length, device=device) if here else None


@dataclass(frozen=True, kw_only=True, eq=False)
class CanvasPins:
    """The pins of one canvas."""

    tokens: Mapping[int, int]
    length: int
    device: torch.device
    places: Tensor = field(init=False)  # int64 [P]
    ids: Tensor = field(init=False)  # int64 [P]
    open_L: Tensor = field(init=False)  # bool [L], false where pinned

    def __post_init__(self) -> None:
        places = torch.tensor(sorted(self.tokens), device=self.device)
        ids = torch.tensor([self.tokens[p] for p in sorted(self.tokens)], device=self.device)
        open_L = torch.ones(self.length, dtype=torch.bool, device=self.device)
        open_L[places] = False
        for name, value in (("places", places), ("ids", ids), ("open_L", open_L)):
            object.__setattr__(self, name, value)

    @property
    def pinned_L(self) -> Tensor:
        """int64 [L]: the token of every pinned position, -1 elsewhere."""
        free_L = torch.full((self.length,), -1, device=self.device)
        return free_L.index_put((self.places,), self.ids)

    def bend(self, z_LV: Tensor) -> None:
        """Leave each pinned position its token only, in place."""
        z_LV[self.places] = -math.inf
        z_LV[self.places, self.ids] = 0.0

    def write(self, canvas_L: Tensor) -> Tensor:
        """The canvas with every pinned token in its place."""
        return canvas_L.index_put((self.places,), self.ids)
