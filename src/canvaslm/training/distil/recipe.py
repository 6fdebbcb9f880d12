"""The recipe `fewer`: the embedded model, or another, as its own teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canvaslm.engine.loading import POCKET
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.distil.data import STUDENT_STEPS, Fewer, student
from canvaslm.training.optimise.choose import MuonAdamW
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.recipe import POCKET_BINS, POCKET_MIXTURES, Recipe
from canvaslm.training.start import Base


def walked(task: str, **shape: Any) -> Mixture:
    """Canvases of one task, and no causal loss beside them."""
    return Mixture(tasks={task: 1.0}, causal_share=0.0, causal_prompt=False, **shape)


WALKED = (
    walked("sudoku", documents=12, canvases=2, canvas_length=96, wide_share=0.12, every=2),
    walked("json", documents=8, canvases=3, canvas_length=64, wide_share=0.2, every=4, phase=1),
    walked("scenes", documents=6, canvases=3, canvas_length=128, wide_share=0.2, every=4, phase=3),
    walked(
        "code", documents=8, canvases=2, canvas_length=96,
        wide_share=0.5, wide_length=256, every=4, phase=1,
    ),
    walked("ask", documents=4, canvas_length=256, every=8, phase=3),
)  # fmt: skip
"""What is walked: code often on a whole canvas, as its end tokens are what stays in doubt."""

CALM = 3
"""The ordinary mixtures come this many times more rarely than in the recipe `pocket`."""


def anchors(calm: int) -> tuple[Mixture, ...]:
    """The embedded model's mixtures in turn, so that nothing it knows is lost."""
    return tuple(
        replace(mixture, every=mixture.every * calm, phase=mixture.phase + mixture.every * offset)
        for offset, mixture in zip((0, 0, 0, 1, 2), POCKET_MIXTURES, strict=True)
    )


def fewer(
    *,
    steps: int = 3000,
    seed: int = 0,
    model: str | None = None,
    taught: Mapping[str, str] | None = None,
    certainty: float = 0.5,
    passes: int = 4,
    max_steps: int = STUDENT_STEPS,
    rate: float = 0.3,
    ema: float = 0.995,
    bfloat16: bool = False,
) -> Recipe:
    """The second stage on `model`, by default the embedded one. The student is exported with at
    most `max_steps` a canvas, and walks as it will with them. `rate` is a factor on the learning
    rates of the first stage; `taught` are a teacher's answers by task."""
    first = MuonAdamW()
    return Recipe(
        name="fewer",
        start=Base(model or str(POCKET), max_steps=max_steps),
        data=Fewer(
            anchor=anchors(CALM),
            walked=WALKED,
            bins=POCKET_BINS,
            taught=dict(taught or {}),
            certainty=certainty,
            passes=passes,
            sampler=student(max_steps),
        ),
        steps=steps,
        seed=seed,
        optimise=MuonAdamW(matrix_lr=first.matrix_lr * rate, vector_lr=first.vector_lr * rate),
        schedule=Trapezoid(warmup=min(50, steps), decay=0.4),
        ema=ema,
        save_every=50,
        bfloat16=bfloat16,
    )
