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


OLD = {task: mixture for mixture in POCKET_MIXTURES for task in mixture.tasks}
"""The mixtures that the embedded model was trained on, by their task."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """How an adapter is held to its base on old tasks.

    since   the step from which it is
    token   what a nat of divergence counts as the mean of a canvas
    canvas  what it counts as the sum of a canvas of the mixture's usual length
    every   once in so many steps; None: as often as answers were rehearsed
    wide    share of canvases of full size, whose sum counts as much as that of the usual ones;
            None: as in the mixture
    """

    since: int
    token: float = 0.0
    canvas: float = 0.0
    every: int | None = None
    wide: float | None = None

    def __post_init__(self) -> None:
        weights = self.token, self.canvas
        if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise TrainingError(f"holding needs a weight above 0, got {self!r}")
        if self.every is not None and self.every < 1:
            raise TrainingError(f"every counts steps, at least 1, got {self.every!r}")

    def over(self, mixture: Mixture) -> Mixture:
        """`mixture` as something to be held to."""
        held = replace(mixture, held=self.token + self.canvas * mixture.canvas_length)
        if self.wide is None:
            return held
        weight = mixture.wide_length / mixture.canvas_length
        return replace(held, wide_share=self.wide, wide_weight=weight)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the steps show of a new task, how long, and how fast its adapter learns.

    Old tasks are rehearsed by their answers at first, then the adapter is held to what the base
    says, which takes the base's passes as well.

    rehearsed_since  the step from which they are
    turns            old tasks in the order in which they come; one may come twice
    """

    mixtures: tuple[Mixture, ...]
    steps: int
    held: tuple[Held, ...]
    warmup: int
    decay: float
    lr: float
    rehearsed_since: int = 0
    turns: tuple[str, ...] = tuple(OLD)

    def __post_init__(self) -> None:
        if set(self.turns) != set(OLD):
            raise TrainingError(
                f"every old task has a turn: expected {', '.join(OLD)}, got {self.turns!r}"
            )


DRILLED = 300
"""Steps of drills, which are short: nothing is rehearsed, and what they take is made good. The
way back asks for an edge at every node, and the encoder reads it from left to right, too: it finds
out how to look up within 140 steps. Canvases of chains do after it, from either side. Stars alone
had not taught it after 400 steps (docs/log.md)."""

FOUND = 550
"""Steps until paths are found among arms. Held from step 150 on, when look-ups had been found but
paths had not, the adapter did not find them in 680 steps more (docs/log.md)."""

SURE, WIDER, STRICT, FAIR = 1400, 1500, 1700, 2100
"""Steps until paths are right; until they have to be so on canvases of full size; until they are,
which leaves room for holding the adapter three times as hard; and until a nat counts the same in
the answer of every old task, as a Sudoku's many tokens had been forgotten most."""

STAR = Mixture(
    tasks={"star": 1.0},
    documents=96,
    canvases=4,
    canvas_length=10,
    wide_share=0.05,
    causal_share=0.3,
    causal_prompt=False,
    since=DRILLED,
    until=SURE,
    bins={"star": {"1x7": 0.1, "2x3": 0.2, "3x3": 0.25, "2x5": 0.2, "3x5": 0.15, "5x4": 0.1}},
)
"""Small graphs come more often: what is learnt on them holds for large ones."""

NARROW = replace(STAR, wide_share=0.0, causal_share=0.0, since=SURE, until=None)
"""Left to right a path's second node is a guess, whose loss only wears on the encoder."""

WIDE = replace(
    NARROW,
    called="star, wide",
    documents=160,
    wide_share=1.0,
    wide_weight=12.0,
    since=WIDER,
)
"""Six prompts (`Mixture.shape`), each with four canvases of a request's own size, whose noise leads
look-ups astray: without them 98 % of paths were right on canvases of 10 tokens and 71 % on those
(docs/log.md). They weigh half of what would make up for their end tokens, as they are few."""

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
        mixtures=(BACK, CHAINS, STAR, NARROW, WIDE),
        steps=2580,
        held=(
            Held(since=FOUND, token=3.0),
            Held(since=SURE, token=8.0, every=1),
            Held(since=WIDER, token=8.0, every=1, wide=0.5),
            Held(since=STRICT, token=24.0, every=1, wide=0.5),
            Held(since=FAIR, canvas=1.25, every=1, wide=0.5),
        ),
        warmup=20,
        decay=0.8,
        lr=5e-3,
        rehearsed_since=DRILLED,
        turns=("sudoku", "json", "ask", "code", "json", "scenes"),
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
    """The embedded model's own mixtures at half their size, in turn, one each `every` steps, or as
    often as the lesson holds to them."""
    begins = (lesson.rehearsed_since, *(held.since for held in lesson.held))
    stages = zip((None, *lesson.held), begins, (*begins[1:], None), strict=True)
    return tuple(
        replace(
            held.over(OLD[task]) if held else OLD[task],
            documents=OLD[task].documents // 2,
            every=pause * len(lesson.turns),
            phase=index * pause,
            since=begin,
            until=end,
        )
        for held, begin, end in stages
        for pause in ((held.every if held else None) or every,)
        for index, task in enumerate(lesson.turns)
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
    """An adapter for `task` on the embedded model, whose own tasks are rehearsed in every
    `rehearse`-th step, and later held to what it says, as often or as the lesson says, so that they
    are not forgotten; 0: never. `steps`: of the lesson."""
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
