"""The recipes `star` and `motif`: adapters that teach the embedded model what it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from canvaslm.adapter.config import TARGETS
from canvaslm.engine.loading import POCKET
from canvaslm.errors import TrainingError
from canvaslm.tasks import LEARNT
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.part import LowRank
from canvaslm.training.recipe import POCKET_BINS, POCKET_MIXTURES, Recipe
from canvaslm.training.start import Base

BENT = tuple(target for target in TARGETS if target != "router.proj")
"""Attention, dense MLPs and self-conditioning."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """From step `since` on, what a nat of divergence from the base counts: `token` if it is the
    mean of a canvas, `canvas` if it is the sum of one of the mixture's usual length."""

    since: int
    token: float = 0.0
    canvas: float = 0.0

    def __post_init__(self) -> None:
        weights = self.token, self.canvas
        if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise TrainingError(f"holding needs a weight above 0, got {self!r}")


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the steps show of a new task, how long, and how fast its adapter learns.

    Old tasks are rehearsed by their answers at first, then the adapter is held to what the base
    says, which takes the base's passes as well.
    """

    mixtures: tuple[Mixture, ...]
    steps: int
    held: tuple[Held, ...]
    warmup: int
    decay: float
    lr: float


DRILLED = 300
"""Steps of drills. The way back asks for an edge at every node, and the encoder reads it from left
to right, too: it finds out how to look up within 140 steps. Canvases of chains do after it, from
either side. Stars alone had not taught it after 400 steps (docs/log.md)."""

FOUND = 550
"""Steps until paths are found among arms. Held from step 150 on, when look-ups had been found but
paths had not, the adapter did not find them in 680 steps more (docs/log.md)."""

STAR = Mixture(
    tasks={"star": 1.0},
    documents=96,
    canvases=4,
    canvas_length=10,
    wide_share=0.05,
    causal_share=0.3,
    causal_prompt=False,
    since=DRILLED,
    bins={"star": {"1x7": 0.1, "2x3": 0.2, "3x3": 0.25, "2x5": 0.2, "3x5": 0.15, "5x4": 0.1}},
)
"""Small graphs come more often: what is learnt on them holds for large ones."""

BACK = replace(
    STAR,
    called="star, back",
    documents=72,
    wide_share=0.0,
    causal_share=1.0,
    since=0,
    until=DRILLED,
    bins={"star": {"1x3<": 0.2, "1x5<": 0.3, "1x7<": 0.3, "2x3<": 0.2}},
)

CHAINS = replace(
    BACK,
    called="star, chains",
    documents=56,
    causal_share=0.0,
    bins={"star": {"1x3": 0.2, "1x5": 0.4, "1x7": 0.4}},
)

MOTIF = Mixture(
    tasks={"motif": 1.0},
    documents=32,
    canvases=3,
    canvas_length=40,
    wide_share=0.1,
    causal_share=0.05,
    causal_prompt=False,
)

LESSONS = {
    "star": Lesson(
        mixtures=(BACK, CHAINS, STAR),
        steps=2100,
        held=(Held(since=FOUND, token=3.0), Held(since=1700, token=8.0)),
        warmup=20,
        decay=0.6,
        lr=5e-3,
    ),
    "motif": Lesson(
        mixtures=(MOTIF,),
        steps=1160,
        held=(Held(since=760, canvas=1 / 16),),
        warmup=50,
        decay=0.3,
        lr=2e-3,
    ),
}
"""Short canvases, several for each encoded prompt. By AdamW: Muon at 0.01 forgot more."""


def rehearsal(every: int, lesson: Lesson) -> tuple[Mixture, ...]:
    """The embedded model's own mixtures at half their size, in turn, one each `every` steps.

    Never while drills go on: those are short, and what they take is made good for.
    """
    begins = (lesson.mixtures[-1].since, *(held.since for held in lesson.held))
    stages = zip((None, *lesson.held), begins, (*begins[1:], None), strict=True)
    return tuple(
        replace(
            mixture,
            documents=mixture.documents // 2,
            every=every * len(POCKET_MIXTURES),
            phase=index * every,
            since=begin,
            until=end,
            held=held.token + held.canvas * mixture.canvas_length if held else 0.0,
        )
        for held, begin, end in stages
        for index, mixture in enumerate(POCKET_MIXTURES)
    )


def learnt(
    task: str,
    *,
    steps: int | None = None,
    rank: int = 32,
    rehearse: int = 2,
    seed: int = 0,
    bfloat16: bool = False,
) -> Recipe:
    """An adapter for `task` on the embedded model, whose own tasks are rehearsed, and later held to
    what it says, in every `rehearse`-th step, so that they are not forgotten; 0: never. `steps`:
    of the lesson."""
    if task not in LEARNT:
        raise TrainingError(f"no recipe teaches {task!r}: use one of {', '.join(LEARNT)}")
    lesson = LESSONS[task]
    old = rehearsal(rehearse, lesson) if rehearse else ()
    return Recipe(
        name=task,
        start=Base(str(POCKET)),
        data=Tasks(mixtures=(*lesson.mixtures, *old), bins=POCKET_BINS),
        steps=lesson.steps if steps is None else steps,
        seed=seed,
        optimise=AdamW(lr=lesson.lr, weight_decay=0.0),
        schedule=Trapezoid(warmup=lesson.warmup, decay=lesson.decay),
        save_every=50,
        bfloat16=bfloat16,
        part=LowRank(rank=rank, alpha=2.0 * rank, targets=BENT),
    )
