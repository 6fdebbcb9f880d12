"""A training recipe: everything that decides what a run learns, in one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from canvaslm.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A micro-batch of every `every`-th step: its tasks, number of documents, length of canvases.

    tasks          share of each task by name
    documents      prompts per micro-batch; each carries `canvases` noised canvases
    canvas_length  tokens per canvas; a `wide_share` of the micro-batches takes `wide_length`
                   instead, so that answers also learn to end in a canvas of full size
    causal_share   share of micro-batches whose encoder also reads the answer (causal loss)
    causal_prompt  whether the causal loss covers the prompt, too
    pinned_share   share of canvases whose given tokens (Sudoku clues) are left clean
    suffix_share   share of gaps whose canvas goes on with what follows them, left clean
    every, phase   takes part in the steps with step % every == phase
    """

    tasks: Mapping[str, float]
    documents: int
    canvas_length: int
    canvases: int = 1
    wide_share: float = 0.0
    wide_length: int = 256
    causal_share: float = 1.0
    causal_prompt: bool = True
    pinned_share: float = 0.0
    suffix_share: float = 0.0
    every: int = 1
    phase: int = 0

    def __post_init__(self) -> None:
        if not self.tasks or any(share <= 0 for share in self.tasks.values()):
            raise TrainingError(f"a mixture needs tasks with positive shares, got {self.tasks!r}")
        for name in ("documents", "canvas_length", "wide_length", "canvases", "every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("wide_share", "causal_share", "pinned_share", "suffix_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Model size, data and optimiser of one run. The same recipe and seed give the same weights.

    The learning rates rise over `warmup` steps, stay, and fall linearly to zero over the last
    `decay` share of `steps`.
    """

    name: str
    hidden_size: int
    num_layers: int
    vocab_size: int
    mixtures: tuple[Mixture, ...]
    steps: int
    seed: int = 0
    bins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    matrix_lr: float = 0.02
    vector_lr: float = 0.003
    weight_decay: float = 0.01
    warmup: int = 100
    decay: float = 0.3
    clip: float = 1.0
    ema: float = 0.995
    save_every: int = 100
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup < 0 or not 0 <= self.decay <= 1:
            raise TrainingError(
                f"a schedule needs steps >= 1, warmup >= 0 and decay in [0, 1], got "
                f"{self.steps!r}, {self.warmup!r}, {self.decay!r}"
            )
        if self.hidden_size % 32 or self.hidden_size < 64:
            raise TrainingError(
                f"hidden_size must be a multiple of 32 and at least 64, got {self.hidden_size!r}"
            )
        if self.num_layers % 3 or self.num_layers < 3:
            raise TrainingError(f"num_layers must be a multiple of 3, got {self.num_layers!r}")

    def rate(self, step: int) -> float:
        """The share of the full learning rate at `step`, counted from 0."""
        rising = (step + 1) / max(1, self.warmup)
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, rising, falling)


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
        hidden_size=size,
        num_layers=6,
        vocab_size=2048,
        steps=steps,
        seed=seed,
        bfloat16=bfloat16,
        mixtures=POCKET_MIXTURES,
        bins={
            "sudoku": {"40+": 0.45, "36-39": 0.2, "30-35": 0.2, "24-29": 0.12, "<24": 0.03},
        },
    )
