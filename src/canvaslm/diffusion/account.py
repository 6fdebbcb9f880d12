"""Which positions of a canvas count for accepting and stopping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Known
from canvaslm.diffusion.view import Past
from canvaslm.errors import ParameterError

# B batch, L canvas


class Account(Protocol):
    """A rule for what counts. It compares with `looks_back` earlier likeliest canvases."""

    @property
    def looks_back(self) -> int: ...

    def open(self, known: Known, best_BL: Tensor, past: Past) -> Tensor | None:
        """bool [B, L]: positions that count, where `best` is what would be committed now; None is
        all of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Every position counts: the published rule."""

    looks_back: ClassVar[int] = 0

    def open(self, known: Known, best_BL: Tensor, past: Past) -> Tensor | None:
        return None


@dataclass(frozen=True, kw_only=True)
class EndOfText:
    """What follows the end of the text does not count, once that end has settled.

    The end is the first of `end_ids` in what would be committed now. It has settled when its own
    entropy is at most `doubt` nats and it stood there, the first as well, for `steps` steps before.
    It counts itself; a canvas without a settled end counts whole. Then a mean over the positions
    that count is one over the answer, which a mean over the canvas, full of certain end tokens, is
    not.
    """

    end_ids: frozenset[int]
    doubt: float = 0.1
    steps: int = 1

    def __post_init__(self) -> None:
        if not self.doubt > 0:
            raise ParameterError(f"doubt must be positive (nats), got {self.doubt!r}")
        if self.steps < 0:
            raise ParameterError(f"steps must be at least 0, got {self.steps!r}")

    @property
    def looks_back(self) -> int:
        return self.steps

    def open(self, known: Known, best_BL: Tensor, past: Past) -> Tensor | None:
        """One end token behind the end, or ten: nothing that follows it counts."""
        length = best_BL.shape[1]
        end_B1 = self.first_end(best_BL)
        at_B1 = end_B1.clamp(max=length - 1)
        settled_B1 = (end_B1 < length) & (known.entropy.gather(1, at_B1) <= self.doubt)
        earlier = past.best[len(past.best) - self.steps :] if self.steps else ()
        if len(earlier) < self.steps:
            settled_B1 = torch.zeros_like(settled_B1)
        for before_BL in earlier:
            settled_B1 &= self.first_end(before_BL) == end_B1
        places_L = torch.arange(length, device=best_BL.device)
        return (places_L <= end_B1) | ~settled_B1

    def first_end(self, ids_BL: Tensor) -> Tensor:
        """Where the first end token stands, or the length of the canvas: [B, 1]."""
        length = ids_BL.shape[1]
        places_L = torch.arange(length, device=ids_BL.device)
        return places_L.where(is_any(ids_BL, self.end_ids), length).amin(dim=-1, keepdim=True)


def is_any(ids_BL: Tensor, wanted: frozenset[int]) -> Tensor:
    """bool [B, L]: is the id one of `wanted`? They are few, and never leave the host."""
    found_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for id in sorted(wanted):
        found_BL |= ids_BL == id
    return found_BL
