"""What a Sudoku model sees when: stages, from what is easy and cheap to what counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canvaslm.errors import TrainingError
from canvaslm.tasks.sudoku import CLUES

BINS = {"40+": 0.15, "36-39": 0.15, "30-35": 0.25, "24-29": 0.3, "<24": 0.15}
HARD = {"40+": 0.05, "36-39": 0.05, "30-35": 0.15, "24-29": 0.35, "<24": 0.4}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the steps from `since` on are made of.

    alone      puzzles whose clues stand on the canvas, and nowhere else
    documents  puzzles asked in the owner's protocol, each with `canvases` noised canvases
    bins       share of each bin of clues among the puzzles made here
    noise      t is the largest of so many uniform numbers: above 1, canvases know less
    looks      half of what is sighted is looked at two to so many times, each time seeing what it
               believed; 1: once, as published
    """

    since: int = 0
    alone: int = 112
    documents: int = 8
    canvases: int = 2
    bins: Mapping[str, float] = field(default_factory=lambda: dict(BINS))
    noise: float = 1.0
    looks: int = 1

    def __post_init__(self) -> None:
        least = {"since": 0, "alone": 0, "documents": 1, "canvases": 1, "looks": 1, "noise": 1.0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise TrainingError(f"{name} must be at least {limit}, got {getattr(self, name)!r}")
        if not self.bins or set(self.bins) - set(CLUES) or sum(self.bins.values()) <= 0:
            raise TrainingError(f"bins are shares of {', '.join(CLUES)}, got {dict(self.bins)!r}")

    @property
    def asked_share(self) -> float:
        """Of the canvases of a step, those of the protocol."""
        asked = self.documents * self.canvases
        return asked / (asked + self.alone)


STAGES = (
    Stage(),
    Stage(since=800, bins=HARD, noise=2.0, looks=4),
    Stage(since=2200, alone=32, documents=24, canvases=4, bins=HARD, noise=2.0, looks=4),
    Stage(since=3200, alone=0, documents=32, canvases=4, bins=HARD, noise=2.0, looks=4),
)
"""Rules first, where a view costs least; then what takes thought; then as the protocol asks, whose
prompt is read by all layers before the canvas is."""

GROWN = (Stage(alone=0, documents=64, canvases=2, bins=HARD, noise=2.0, looks=4),)
"""What a deeper model goes on with: twice as many puzzles for as many canvases."""

LEFT_TO_RIGHT = (Stage(alone=0, documents=64, canvases=1),)


def check(stages: Sequence[Stage]) -> None:
    """Raises TrainingError unless they begin at the first step and follow each other."""
    starts = [stage.since for stage in stages]
    if not starts or starts[0] != 0 or sorted(set(starts)) != starts:
        raise TrainingError(f"stages begin at step 0 and in order, got {starts}")


def stage_at(step: int, stages: Sequence[Stage]) -> Stage:
    """The last one that has begun."""
    return [stage for stage in stages if stage.since <= step][-1]
