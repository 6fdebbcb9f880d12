"""The recipes `star` and `motif`: adapters that teach the embedded model what it has not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from canvaslm.adapter.config import TARGETS
from canvaslm.engine.loading import POCKET
from canvaslm.errors import TrainingError
from canvaslm.tasks import LEARNT
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.distil.data import STUDENT_STEPS, Fewer
from canvaslm.training.distil.recipe import walked
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.part import LowRank
from canvaslm.training.recipe import POCKET_BINS, POCKET_MIXTURES, Recipe
from canvaslm.training.start import Base

BENT = tuple(target for target in TARGETS if target != "router.proj")
"""Attention, dense MLPs and self-conditioning."""


OLD = {task: mixture for mixture in POCKET_MIXTURES for task in mixture.tasks}
"""The mixtures that the embedded model was trained on, by their task."""

WHOLE = {
    task: walked(task, documents=16 if task == "ask" else 8, canvas_length=256) for task in OLD
}
"""Old tasks on canvases as a request has them, from noise on; more of those whose answer is one
word, as each says so little."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """How an adapter is held to its base on old tasks.

    since   the step from which it is
    token   what a nat of divergence counts as the mean of a canvas
    canvas  what it counts as the sum of a canvas of the mixture's usual length
    every   once in so many steps; None: as often as answers were rehearsed
    """

    since: int
    token: float = 0.0
    canvas: float = 0.0
    every: int | None = None

    def __post_init__(self) -> None:
        weights = self.token, self.canvas
        if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise TrainingError(f"holding needs a weight above 0, got {self!r}")
        if self.every is not None and self.every < 1:
            raise TrainingError(f"every counts steps, at least 1, got {self.every!r}")

    def over(self, mixture: Mixture) -> Mixture:
        """`mixture` as something to be held to."""
        return replace(mixture, held=self.token + self.canvas * mixture.canvas_length)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the steps show of a new task, how long, and how fast its adapter learns.

    Old tasks are rehearsed by their answers at first, then the adapter is held to what the base
    says, which takes the base's passes as well.

    held             to what the base says of noised answers
    walked           to what it says of canvases as the sampler leaves them on their way
    rehearsed_since  the step from which old tasks are
    turns            old tasks in the order in which they come; one may come twice
    """

    mixtures: tuple[Mixture, ...]
    steps: int
    held: tuple[Held, ...]
    warmup: int
    decay: float
    lr: float
    walked: tuple[Held, ...] = ()
    rehearsed_since: int = 0
    turns: tuple[str, ...] = tuple(OLD)

    def __post_init__(self) -> None:
        if set(self.turns) != set(OLD):
            raise TrainingError(
                f"every old task has a turn: expected {', '.join(OLD)}, got {self.turns!r}"
            )
        for stages in (self.held, self.walked):
            starts = [held.since for held in stages]
            if starts != sorted(set(starts)):
                raise TrainingError(f"stages begin one after another, got steps {starts!r}")
        if not self.held or self.rehearsed_since >= self.held[0].since:
            raise TrainingError(
                f"old tasks are rehearsed from step {self.rehearsed_since!r} on, and held to "
                f"later: got {self.held!r}"
            )


DRILLED = 300
"""Steps of drills, which are short: nothing is rehearsed, and what they take is made good. The
way back asks for an edge at every node, and the encoder reads it from left to right, too: it finds
out how to look up within 140 steps. Canvases of chains do after it, from either side. Stars alone
had not taught it after 400 steps (docs/log.md)."""

FOUND = 550
"""Steps until paths are found among arms. Held from step 150 on, when look-ups had been found but
paths had not, the adapter did not find them in 680 steps more (docs/log.md)."""

SURE, WIDER, STRICT, EASED, FAIR = 1250, 1350, 1500, 1675, 2050
"""Steps until paths are right; until they have to be right on canvases of full size, too, which is
where old tasks are answered; until they are, which leaves room for holding the adapter harder;
until that has cost paths, and is eased; and until the rate has fallen so far that it costs none."""

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

NARROW = replace(STAR, wide_share=0.0, causal_share=0.0, since=SURE, until=STRICT)
"""Left to right a path's second node is a guess, whose loss only wears on the encoder."""

KEPT = replace(NARROW, every=5, since=STRICT, until=None)
"""Paths on short canvases need only be kept from then on."""

WIDE = replace(
    NARROW,
    called="star, wide",
    documents=160,
    canvases=2,
    wide_share=1.0,
    wide_weight=12.0,
    since=WIDER,
    until=None,
)
"""Six prompts (`Mixture.shape`), each with two canvases of a request's own size, whose noise leads
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
        mixtures=(BACK, CHAINS, STAR, NARROW, KEPT, WIDE),
        steps=2400,
        held=(
            Held(since=FOUND, token=3.0),
            Held(since=SURE, token=8.0, every=1),
            Held(since=STRICT, token=24.0, canvas=1.25, every=1),
            Held(since=EASED, token=16.0, every=1),
            Held(since=FAIR, token=8.0, canvas=1.0, every=1),
        ),
        walked=(
            Held(since=WIDER, canvas=0.5, every=1),
            Held(since=STRICT, canvas=2.0, every=1),
            Held(since=EASED, canvas=0.75, every=1),
            Held(since=FAIR, canvas=1.5, every=1),
        ),
        warmup=20,
        decay=0.8,
        lr=5e-3,
        rehearsed_since=DRILLED,
        turns=("sudoku", "ask", "json", "code", "sudoku", "ask", "json", "scenes"),
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


Stage = tuple[Held | None, int, int | None]
"""How an adapter is held, or that answers are rehearsed; since and until which step."""


def rehearsed(lesson: Lesson) -> list[Stage]:
    """The stages of old tasks: their answers first, then as the lesson holds to them."""
    held = staged(lesson.held)
    return [(None, lesson.rehearsed_since, lesson.held[0].since), *held]


def staged(held: Sequence[Held]) -> list[Stage]:
    """Each until the next begins."""
    ends = (*(one.since for one in held[1:]), None)
    return [(one, one.since, end) for one, end in zip(held, ends, strict=True)]


def in_turn(
    stages: Sequence[Stage], mixtures: Mapping[str, Mixture], turns: Sequence[str], every: int
) -> tuple[Mixture, ...]:
    """In each stage the mixtures one after another, one in `every` step or as often as it says."""
    return tuple(
        replace(
            held.over(mixtures[task]) if held else mixtures[task],
            every=pause * len(turns),
            phase=index * pause,
            since=begin,
            until=end,
        )
        for held, begin, end in stages
        for pause in ((held.every if held else None) or every,)
        for index, task in enumerate(turns)
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
    return Recipe(
        name=task,
        start=Base(str(POCKET)),
        data=data_of(lesson, rehearse),
        steps=lesson.steps if steps is None else steps,
        seed=seed,
        optimise=AdamW(lr=lesson.lr, weight_decay=0.0),
        schedule=Trapezoid(warmup=lesson.warmup, decay=lesson.decay),
        save_every=50,
        bfloat16=bfloat16,
        part=LowRank(rank=rank, alpha=2.0 * rank, targets=BENT),
    )


def data_of(lesson: Lesson, rehearse: int) -> Tasks | Fewer:
    """The new task, and the old ones in turn: at half the embedded model's own batches, and where
    the sampler leads."""
    if not rehearse:
        return Tasks(mixtures=lesson.mixtures, bins=POCKET_BINS)
    halves = {task: replace(old, documents=old.documents // 2) for task, old in OLD.items()}
    old = in_turn(rehearsed(lesson), halves, lesson.turns, rehearse)
    if not lesson.walked:
        return Tasks(mixtures=(*lesson.mixtures, *old), bins=POCKET_BINS)
    next_turns = (*lesson.turns[1:], lesson.turns[0])  # no task twice in a step that has both
    return Fewer(
        anchor=(*lesson.mixtures, *old),
        walked=in_turn(staged(lesson.walked), WHOLE, next_turns, rehearse),
        bins=POCKET_BINS,
        passes=STUDENT_STEPS - 1,
        certainty=0.0,
    )
