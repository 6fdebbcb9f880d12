"""What a caller may ask of one request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from canvaslm.errors import ParameterError

Mode = Literal["diffusion", "ar"]
MODES: tuple[str, ...] = get_args(Mode)

SEEDS = 2**63
DIFFUSION_ONLY = ("max_steps", "entropy_bound", "t_min", "t_max", "stability", "confidence")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of one request. None means: what the checkpoint's generation settings say.

    max_tokens     longest answer, in tokens, the closing one included
    seed           0 to 2**63 - 1; the same seed gives the same text. None draws one; the result
                   says which
    thinking       let the model think before it answers; the thoughts are in `Result.thoughts`
    tools          function declarations in OpenAI's shape that the model may call; the calls are
                   in `Result.tool_calls`
    temperature    mode "ar" only: 0 takes the likeliest token, 1 samples as the model believes
    max_steps      diffusion: denoising passes a canvas may take at most
    entropy_bound  diffusion: nats of doubt accepted together in one pass; more is faster
    t_min, t_max   diffusion: the temperature falls from t_max to t_min over max_steps
    stability      diffusion: steps for which the likeliest canvas must not change; 0 or more
    confidence     diffusion: mean entropy in nats below which a stable canvas is committed

    Raises ParameterError for a value of the wrong type or out of range.
    """

    max_tokens: int = 256
    seed: int | None = None
    thinking: bool = False
    tools: Sequence[Mapping[str, Any]] | None = None
    temperature: float | None = None
    max_steps: int | None = None
    entropy_bound: float | None = None
    t_min: float | None = None
    t_max: float | None = None
    stability: int | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        check_integer("max_tokens", self.max_tokens, least=1)
        if not isinstance(self.thinking, bool):
            raise ParameterError(f"thinking must be True or False, got {self.thinking!r}")
        if self.seed is not None:
            check_integer("seed", self.seed, least=0, below=SEEDS)
        for name, least in (("max_steps", 1), ("stability", 0)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least=least)
        for name in ("temperature", "t_min", "t_max"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        for name in ("entropy_bound", "confidence"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above_zero=True)

    def check_mode(self, mode: str) -> None:
        """Raise ParameterError for an unknown mode, or a parameter that has no effect in it."""
        if mode not in MODES:
            raise ParameterError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        idle = ("temperature",) if mode == "diffusion" else DIFFUSION_ONLY
        given = [
            f.name for f in fields(self) if f.name in idle and getattr(self, f.name) is not None
        ]
        if given:
            raise ParameterError(
                f"{', '.join(given)} would have no effect with mode={mode!r}: leave it out"
                + (", or set t_min and t_max" if mode == "diffusion" else "")
            )


def check_integer(name: str, value: object, *, least: int, below: int | None = None) -> None:
    """A plain int in [least, below); True and False are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}"
        )
    if value < least or (below is not None and value >= below):
        bound = f"at least {least}" if below is None else f"in [{least}, {below})"
        raise ParameterError(f"{name} must be {bound}, got {value}")


def check_number(name: str, value: object, *, above_zero: bool = False) -> None:
    """A finite int or float, not negative, and positive where `above_zero`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterError(
            f"{name} must be a finite number, got {value!r} of type {type(value).__name__}"
        )
    if value < 0 or (above_zero and value == 0):
        raise ParameterError(
            f"{name} must be {'positive' if above_zero else 'at least 0'}, got {value}"
        )
