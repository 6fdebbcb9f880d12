"""Everything that bends one request, canvas after canvas, as one guide for the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.control.pins import CanvasPins, Pins
from canvaslm.diffusion.guide import Uniforms
from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.statistics import Statistics

# L canvas, V vocabulary


class LogitRule(Protocol):
    """Changes the logits of a canvas in place, before temperature."""

    def apply(self, logits_LV: Tensor, said: Sequence[int], before: Statistics | None) -> None:
        """`said` is the answer before this canvas; `before` what the step before knew, a batch of
        one, None in the first step."""
        ...


class Posterior(Protocol):
    """What a constraint makes of one step."""

    def draw(self, path_L: Tensor, token_L: Tensor) -> Tensor:
        """A canvas drawn as a whole: int64 [L], from two uniform numbers for each position."""
        ...

    def best(self) -> Tensor:
        """The likeliest canvas as a whole: int64 [L]."""
        ...


class Constraint(Protocol):
    """A language that the answer must belong to, walked along the answer."""

    def posterior(self, z_LV: Tensor, pins: CanvasPins | None) -> Posterior:
        """Condition z, in place, on the language."""
        ...

    def commit(self, ids: Sequence[int]) -> None:
        """The answer has these tokens more."""
        ...


class Ending(Protocol):
    """Knows where an answer would be cut, so that what follows need not settle."""

    def open(self, said: Sequence[int], best_L: Tensor) -> Tensor | None:
        """bool [L]: positions before the cut; None: there is none."""
        ...


@dataclass(kw_only=True, eq=False)
class Steering:
    """The parts that bend one request; all are optional. Mutable: it follows the answer.

    rules       change logits before temperature
    pins        tokens by position in the answer
    constraint  the language of the answer
    endings     cuts: stop strings, the limit of tokens
    draft       where the first canvas starts from, None: noise; -1 stands for a noise token
    greedy      candidates under a constraint are its likeliest text, not a draw
    """

    rules: Sequence[LogitRule] = ()
    pins: Pins | None = None
    constraint: Constraint | None = None
    endings: Sequence[Ending] = ()
    draft: Sequence[int] | None = None
    greedy: bool = False
    said: list[int] = field(default_factory=list)

    def on_canvas(self, length: int, device: torch.device) -> CanvasGuide:
        """The guide of the canvas that comes next."""
        pins = None
        if self.pins is not None:
            pins = self.pins.on_canvas(len(self.said), length, device)
        draft = None
        if self.draft is not None and not self.said:
            draft = torch.tensor(self.draft, device=device)
        return CanvasGuide(steering=self, pins=pins, draft_L=draft)

    def commit(self, ids: Sequence[int]) -> None:
        """The answer has these tokens more."""
        self.said += ids
        if self.constraint is not None:
            self.constraint.commit(ids)


class CanvasGuide:
    """A `diffusion.guide.Guide`: the steering of one canvas."""

    def __init__(
        self, *, steering: Steering, pins: CanvasPins | None, draft_L: Tensor | None
    ) -> None:
        self._steering, self._pins, self._draft_L = steering, pins, draft_L
        self._before: Statistics | None = None
        self._posterior: Posterior | None = None

    def start(self, noise_L: Tensor) -> Tensor:
        if self._draft_L is not None:
            noise_L = torch.where(self._draft_L < 0, noise_L, self._draft_L)
        return self.hold(noise_L)

    def bend_logits(self, logits_LV: Tensor) -> None:
        for rule in self._steering.rules:
            rule.apply(logits_LV, self._steering.said, self._before)

    def bend(self, z_LV: Tensor) -> None:
        if self._pins is not None:
            self._pins.bend(z_LV)
        if self._steering.constraint is not None:
            self._posterior = self._steering.constraint.posterior(z_LV, self._pins)

    def best(self, known: Statistics) -> Tensor:
        if self._steering.rules:
            self._before = known
        return known.best[0] if self._posterior is None else self._posterior.best()

    def candidates(self, known: Statistics, drawn_L: Tensor, uniforms: Uniforms) -> Tensor:
        if self._posterior is None:
            return drawn_L
        if self._steering.greedy:
            return self._posterior.best()
        return self._posterior.draw(uniforms(Stream.PATH), uniforms(Stream.CANDIDATE))

    def open(self, best_L: Tensor) -> Tensor | None:
        opens = [ending.open(self._steering.said, best_L) for ending in self._steering.endings]
        if self._pins is not None:
            opens.append(self._pins.open_L)
        given = [open_L for open_L in opens if open_L is not None]
        return torch.stack(given).all(dim=0) if given else None

    def hold(self, canvas_L: Tensor) -> Tensor:
        return canvas_L if self._pins is None else self._pins.write(canvas_L)
