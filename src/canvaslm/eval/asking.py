"""How a model is asked during an evaluation, every case the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from canvaslm.engine.params import Effort, Params
from canvaslm.engine.params import Mode as EngineMode
from canvaslm.errors import ParameterError

Mode = Literal["diffusion", "ar", "one-shot"]
"""Canvases refined step by step; the same weights left to right; canvases taken after one step."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Every request has this seed; `batch` of them run at a time. Raises ParameterError.

    max_steps  most passes of a canvas; None: one in mode one-shot, else what the checkpoint says
    """

    mode: Mode = "diffusion"
    seed: int = 0
    max_tokens: int = 256
    effort: Effort | None = None
    batch: int = 1
    max_steps: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ParameterError(f"batch must be at least 1, got {self.batch}")
        if self.mode not in get_args(Mode):
            names = ", ".join(get_args(Mode))
            raise ParameterError(f"mode must be one of {names}, got {self.mode!r}")
        if self.mode == "one-shot" and self.max_steps is not None:
            raise ParameterError(
                f"max_steps={self.max_steps} would have no effect with mode one-shot, which takes "
                "one step: leave one of them out"
            )
        self.params.check_mode(self.engine_mode)

    @property
    def engine_mode(self) -> EngineMode:
        """Which of the network's two modes writes the answers."""
        return "ar" if self.mode == "ar" else "diffusion"

    @property
    def params(self) -> Params:
        """The parameters of every request."""
        steps = 1 if self.mode == "one-shot" else self.max_steps
        return Params(
            max_tokens=self.max_tokens, seed=self.seed, max_steps=steps, effort=self.effort
        )
