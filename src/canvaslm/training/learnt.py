"""The recipes `star` and `motif`: adapters that teach the embedded model what it has not seen."""

from __future__ import annotations

from dataclasses import replace

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

LESSONS = {
    "star": Mixture(
        tasks={"star": 1.0},
        documents=96,
        canvases=4,
        canvas_length=10,
        wide_share=0.05,
        causal_share=0.05,
        causal_prompt=False,
    ),
    "motif": Mixture(
        tasks={"motif": 1.0},
        documents=32,
        canvases=3,
        canvas_length=40,
        wide_share=0.1,
        causal_share=0.05,
        causal_prompt=False,
    ),
}
"""What each step shows of the new task: short canvases, several for each encoded prompt."""


BINS = {"star": {"2x3": 0.25, "3x3": 0.3, "2x5": 0.2, "3x5": 0.15, "5x4": 0.1}}
"""Small graphs come more often: what is learnt on them holds for large ones."""


OPTIMISE = AdamW(lr=2e-3, weight_decay=0.0)
"""Muon at 0.01 learnt `star` no faster and forgot more: the loss of `json` rose to 0.2."""


def rehearsal(every: int) -> tuple[Mixture, ...]:
    """The embedded model's own mixtures at half their size, in turn, one each `every` steps."""
    turn = every * len(POCKET_MIXTURES)
    return tuple(
        replace(mixture, documents=mixture.documents // 2, every=turn, phase=index * every)
        for index, mixture in enumerate(POCKET_MIXTURES)
    )


def learnt(
    task: str,
    *,
    steps: int = 900,
    rank: int = 32,
    rehearse: int = 2,
    seed: int = 0,
    bfloat16: bool = False,
) -> Recipe:
    """An adapter for `task` on the embedded model, whose own tasks are rehearsed in every
    `rehearse`-th step so that they are not forgotten; 0: never."""
    if task not in LEARNT:
        raise TrainingError(f"no recipe teaches {task!r}: use one of {', '.join(LEARNT)}")
    old = rehearsal(rehearse) if rehearse else ()
    return Recipe(
        name=task,
        start=Base(str(POCKET)),
        data=Tasks(mixtures=(LESSONS[task], *old), bins=POCKET_BINS | BINS),
        steps=steps,
        seed=seed,
        optimise=OPTIMISE,
        schedule=Trapezoid(warmup=50, decay=0.3),
        save_every=50,
        bfloat16=bfloat16,
        part=LowRank(rank=rank, alpha=2.0 * rank, targets=BENT),
    )
