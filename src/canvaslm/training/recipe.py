"""A training recipe: everything that decides what a run learns, in one frozen object."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol

from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Feed
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.distil.data import Fewer
from canvaslm.training.optimise.choose import MuonAdamW, Optimise
from canvaslm.training.optimise.schedule import Schedule, Trapezoid
from canvaslm.training.part import Everything, Part
from canvaslm.training.start import Base, Scratch, Start


class Data(Protocol):
    """What a run learns from: `Tasks`, `Documents` or another."""

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed: ...


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Measure the loss on `batches` held-out micro-batches every `every` steps.

    The weights of the best measurement are what the run is exported as; after `patience`
    measurements without a better one it ends early (None: never).
    """

    every: int = 100
    batches: int = 8
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "batches", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name} must be at least 1, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Start, data and optimiser of one run. The same recipe and seed give the same weights.

    clip        longest gradient; a longer one is shortened to it
    ema         how much of the averaged weights each step keeps; they are exported. None: no
                average, and less memory
    save_every  steps from one saved state to the next
    bfloat16    products in bfloat16; weights, their sums and the optimiser stay in float32
    recompute   keep fewer activations, and compute them again for the gradient
    watch       measure held-out data on the way
    part        what of the network learns
    """

    name: str
    steps: int
    data: Data
    start: Start
    seed: int = 0
    optimise: Optimise = field(default_factory=MuonAdamW)
    schedule: Schedule = field(default_factory=Trapezoid)
    clip: float = 1.0
    ema: float | None = 0.995
    save_every: int = 100
    bfloat16: bool = False
    recompute: bool = False
    watch: Watch | None = None
    part: Part = field(default_factory=Everything)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise TrainingError(f"a schedule needs steps >= 1, got {self.steps!r}")
        if self.save_every < 1:
            raise TrainingError(f"save_every must be at least 1, got {self.save_every!r}")
        if not self.clip > 0:
            raise TrainingError(f"clip must be positive, got {self.clip!r}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise TrainingError(f"ema must lie in [0, 1) or be None, got {self.ema!r}")
        if isinstance(self.start, Base) and self.start.max_steps and self.part != Everything():
            raise TrainingError(
                f"an adapter says nothing of steps, so max_steps={self.start.max_steps} would have "
                "no effect: leave it out, or use part=Everything()"
            )
        if isinstance(self.data, Tasks | Fewer) and isinstance(self.part, Everything):
            for mixture in self.data.mixtures:
                if mixture.held:
                    raise TrainingError(
                        f"a mixture of {', '.join(mixture.tasks)} is held to a base, and without "
                        "an adapter there is none: use part=LowRank(rank=16), or held=0"
                    )

    def rate(self, step: int) -> float:
        """The share of the full learning rate at `step`, counted from 0."""
        return self.schedule.rate(step, self.steps)


def describe(value: Any) -> Any:
    """A recipe as JSON: every object by the name of its kind and its settings."""
    if is_dataclass(value) and not isinstance(value, type):
        settings = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__} | settings
    if isinstance(value, dict):
        return {str(key): describe(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [describe(one) for one in value]
    return value if isinstance(value, str | int | float | None) else str(value)


POCKET_MIXTURES = (
    Mixture(
        tasks={"sudoku": 1.0},
        documents=20,
        canvases=2,
        canvas_length=96,
        wide_share=0.12,
        causal_share=0.1,
        causal_prompt=False,
        pinned_share=0.4,
        every=2,
    ),
    Mixture(
        tasks={"json": 1.0},
        documents=12,
        canvases=4,
        canvas_length=64,
        wide_share=0.12,
        causal_share=0.1,
        every=2,
        phase=1,
    ),
    Mixture(
        tasks={"ask": 1.0},
        documents=96,
        canvas_length=4,
        wide_share=0.03,
        causal_share=1.0,
        causal_prompt=False,
    ),
    Mixture(
        tasks={"code": 1.0},
        documents=12,
        canvases=3,
        canvas_length=96,
        wide_share=0.12,
        causal_share=0.2,
        suffix_share=0.6,
        every=2,
        phase=1,
    ),
    Mixture(
        tasks={"scenes": 1.0},
        documents=10,
        canvases=4,
        canvas_length=128,
        wide_share=0.12,
        causal_share=0.1,
        every=6,
        phase=2,
    ),
)


POCKET_BINS = {
    "sudoku": {"40+": 0.45, "36-39": 0.2, "30-35": 0.2, "24-29": 0.12, "<24": 0.03},
}


def pocket(
    *, size: int = 128, steps: int = 12_000, seed: int = 0, bfloat16: bool = False
) -> Recipe:
    """The embedded model. `size` is the one dial: the hidden width, a multiple of 32.

    Every step answers 96 questions, each on a canvas of its own size, so that one word is not lost
    among end tokens; Sudoku takes turns with records and code, and now and then there are scenes.
    Left to right is learnt sooner than denoising, so an encoded prompt carries several noised
    canvases and only a share of the batches also carries the causal loss; a Sudoku's digits cannot
    be predicted from left to right, so its prompt carries none.
    """
    return Recipe(
        name="pocket",
        start=Scratch(hidden_size=size),
        data=Tasks(mixtures=POCKET_MIXTURES, bins=POCKET_BINS),
        steps=steps,
        seed=seed,
        bfloat16=bfloat16,
    )
