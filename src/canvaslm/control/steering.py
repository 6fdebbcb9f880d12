"""Everything that bends one request, canvas after canvas, as one guide for the loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from canvaslm.control.avoid import avoid
from canvaslm.control.forbid import Forbidden
from canvaslm.control.pins import CanvasPins, Pins
from canvaslm.diffusion.choose import Filtered
from canvaslm.diffusion.guide import Uniforms
from canvaslm.diffusion.rng import Stream
from canvaslm.diffusion.statistics import Statistics
from canvaslm.errors import ConstraintError
from canvaslm.model.network import Bend

# L canvas, V vocabulary

RULED_OUT = -1e30
"""A logit that stands for minus infinity, of which 0 * inf would make an entropy of nan."""


class LogitRule(Protocol):
    """Changes the logits of a canvas in place, before temperature.

    `constant` says that it adds the same numbers to every position in every step.
    """

    @property
    def constant(self) -> bool: ...

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
    forbidden   words that the answer must not contain, of several tokens
    endings     cuts: stop strings, the limit of tokens
    draft       where the first canvas starts from, None: noise; -1 stands for a noise token
    greedy      candidates under a constraint are its likeliest text, not a draw
    filters     candidates under a constraint are drawn among the tokens these let through, where
                any allowed text is left
    """

    rules: Sequence[LogitRule] = ()
    pins: Pins | None = None
    constraint: Constraint | None = None
    forbidden: Forbidden | None = None
    endings: Sequence[Ending] = ()
    draft: Sequence[int] | None = None
    greedy: bool = False
    filters: Filtered | None = None
    said: list[int] = field(default_factory=list)

    def on_canvas(
        self, length: int, device: torch.device, *, draft: Sequence[int] | None = None
    ) -> CanvasGuide:
        """The guide of the canvas that comes next; `draft` goes before the answer's own."""
        pins = None
        if self.pins is not None:
            pins = self.pins.on_canvas(len(self.said), length, device)
        if draft is None and not self.said:
            draft = self.draft
        draft_L = None if draft is None else torch.tensor(draft, device=device)
        return CanvasGuide(steering=self, pins=pins, draft_L=draft_L, length=length, device=device)

    def commit(self, ids: Sequence[int]) -> None:
        """The answer has these tokens more."""
        self.said += ids
        if self.forbidden is not None:
            self.forbidden.commit(ids)
        if self.constraint is not None:
            self.constraint.commit(ids)


class CanvasGuide:
    """A `diffusion.guide.Guide`: the steering of one canvas."""

    def __init__(
        self,
        *,
        steering: Steering,
        pins: CanvasPins | None,
        draft_L: Tensor | None,
        length: int,
        device: torch.device,
    ) -> None:
        self._steering, self._draft_L = steering, draft_L
        self._given = self._pins = pins  # those of the request; all of them
        self._length, self._device = length, device
        self._bend: Bend | None = None
        self._before: Statistics | None = None
        self._posterior: Posterior | None = None
        self._free_LV: Tensor | None = None

    def start(self, noise_L: Tensor) -> Tensor:
        if self._draft_L is not None:
            noise_L = torch.where(self._draft_L < 0, noise_L, self._draft_L)
        return self.hold(noise_L)

    def little(self, vocab_size: int) -> Bend | None:
        """Constant rules are a bias, pins are pins; a language or a word takes all the logits."""
        steering, pins = self._steering, self._pins
        if steering.constraint is not None or steering.forbidden is not None:
            return None
        if not all(rule.constant for rule in steering.rules):
            return None
        if self._bend is None:
            bias_1V = torch.zeros(1, vocab_size, device=self._device)
            for rule in steering.rules:
                rule.apply(bias_1V, steering.said, None)
            self._bend = Bend(
                bias=bias_1V[0] if steering.rules else None,
                pinned=None if pins is None else pins.pinned_L,
            )
        return self._bend

    def bend_logits(self, logits_LV: Tensor) -> None:
        for rule in self._steering.rules:
            rule.apply(logits_LV, self._steering.said, self._before)

    def bend(self, z_LV: Tensor) -> None:
        if self._pins is not None:
            self._pins.bend(z_LV)
        if self._steering.constraint is not None and self._steering.filters is not None:
            self._free_LV = z_LV.clone()
        forbidden = self._steering.forbidden
        if forbidden is None:
            self._condition(z_LV)
        else:
            fixed = frozenset() if self._pins is None else self._pins.tokens.keys()
            conditioned = self._condition if self._steering.constraint is not None else None
            avoid(forbidden, z_LV, fixed=fixed, conditioned=conditioned)
        z_LV.clamp_(min=RULED_OUT)

    def _condition(self, z_LV: Tensor) -> Tensor | None:
        """Condition z on the constraint; its likeliest canvas. The posterior has a copy of its
        own, as a step writes over z."""
        if self._steering.constraint is None:
            return None
        own_LV = z_LV.clone()
        self._posterior = self._steering.constraint.posterior(own_LV, self._given)
        z_LV.copy_(own_LV)
        return self._posterior.best()

    def best(self, known: Statistics) -> Tensor:
        if self._steering.rules:
            self._before = known
        return known.best[0] if self._posterior is None else self._posterior.best()

    def candidates(self, known: Statistics, drawn_L: Tensor, uniforms: Uniforms) -> Tensor:
        if self._posterior is None:
            return drawn_L
        if self._steering.greedy:
            return self._posterior.best()
        return self._drawn_from().draw(uniforms(Stream.PATH), uniforms(Stream.CANDIDATE))

    def _drawn_from(self) -> Posterior:
        """The posterior of what the filters let through, or of everything if that is nothing."""
        filters, constraint = self._steering.filters, self._steering.constraint
        assert self._posterior is not None
        if filters is None or constraint is None or self._free_LV is None:
            return self._posterior
        p_1LV = self._free_LV.softmax(dim=-1)[None]
        passed_LV = self._free_LV.masked_fill(p_1LV[0] < filters.floor(p_1LV)[0], -math.inf)
        try:
            return constraint.posterior(passed_LV, self._given)
        except ConstraintError:
            return self._posterior

    def open(self, best_L: Tensor) -> Tensor | None:
        opens = [ending.open(self._steering.said, best_L) for ending in self._steering.endings]
        if self._given is not None:
            opens.append(self._given.open_L)
        given = [open_L for open_L in opens if open_L is not None]
        return torch.stack(given).all(dim=0) if given else None

    def refuses(self, id: int) -> bool:
        """Whether `id` as the next token would complete a forbidden word; left to right, where a
        token is drawn that is not the likeliest."""
        forbidden = self._steering.forbidden
        return forbidden is not None and forbidden.find([id]) is not None

    def pin(self, start: Sequence[int]) -> None:
        given = {} if self._given is None else dict(self._given.tokens)
        self._pins = CanvasPins(
            tokens=given | dict(enumerate(start)), length=self._length, device=self._device
        )
        self._bend = None

    def hold(self, canvas_L: Tensor) -> Tensor:
        return canvas_L if self._pins is None else self._pins.write(canvas_L)
