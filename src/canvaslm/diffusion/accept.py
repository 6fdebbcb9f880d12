"""Which positions of a canvas keep their candidate; the others return to noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.view import View
from canvaslm.errors import ParameterError

# B batch, L canvas


class Accept(Protocol):
    """A rule for accepting candidates. `looks_back` and `compares` say what of the past it reads:
    that many likeliest canvases, and the last step's probabilities."""

    @property
    def looks_back(self) -> int: ...

    @property
    def compares(self) -> bool: ...

    def accepted(self, view: View) -> Tensor:
        """Boolean [B, L]: positions that keep their candidate."""
        ...


@dataclass(frozen=True, kw_only=True)
class EntropyBound:
    """Accept the surest positions while their joint uncertainty stays small.

    In ascending order of entropy H, a position is accepted while the sum of the entropies before
    it is at most `bound` (nats): an upper bound on how far independent draws can be from a joint
    one (arXiv 2505.24857). The surest position is always accepted.
    """

    bound: float = 0.1
    looks_back: ClassVar[int] = 0
    compares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise ParameterError(f"entropy_bound must be positive (nats), got {self.bound!r}")

    def accepted(self, view: View) -> Tensor:
        """Equal entropies are taken from left to right; what does not count costs nothing."""
        ascending, order = view.entropy.sort(dim=-1, stable=True)
        chosen = ascending.cumsum(dim=-1) - ascending <= self.bound
        return torch.empty_like(chosen).scatter_(-1, order, chosen)


@dataclass(frozen=True, kw_only=True)
class Stable:
    """Besides what `rule` accepts, keep what is likely and no longer changes (KLASS, arXiv
    2511.05664).

    A position is kept while p(best) >= `sure` and the KL divergence from the last step's
    probabilities to these is at most `shift` nats; one that was accepted stays so until p(best)
    falls under `release`.
    """

    rule: Accept = field(default_factory=EntropyBound)
    sure: float = 0.9
    release: float = 0.5
    shift: float = 0.01
    compares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.release <= self.sure <= 1:
            raise ParameterError(
                f"stable acceptance needs 0 < release <= sure <= 1, got release={self.release!r} "
                f"and sure={self.sure!r}"
            )
        if not self.shift > 0:
            raise ParameterError(f"shift must be positive (nats), got {self.shift!r}")

    @property
    def looks_back(self) -> int:
        return self.rule.looks_back

    def accepted(self, view: View) -> Tensor:
        accepted_BL = self.rule.accepted(view)
        assert isinstance(view.known, Statistics), "it compares, so all probabilities are there"
        past, p_BLV = view.past, view.known.p
        if past.p is None or past.accepted is None:
            return accepted_BL
        likely_BL = p_BLV.gather(-1, view.best[..., None])[..., 0]
        tiny = torch.finfo(p_BLV.dtype).tiny
        change_BLV = p_BLV.clamp(min=tiny).log_().sub_(past.p.clamp(min=tiny).log_()).mul_(p_BLV)
        calm_BL = change_BLV.sum(dim=-1) <= self.shift
        kept_BL = past.accepted & (likely_BL >= self.release)
        return accepted_BL | kept_BL | (calm_BL & (likely_BL >= self.sure))
