"""What a few-step student learns from: states of its own sampler beside the ordinary mixture."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.tasks import Example, Split
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Feed, Micro
from canvaslm.training.data.tasks import Corpus, Mixture, Tasks, name_of
from canvaslm.training.distil.taught import Taught, fingerprint, read_taught
from canvaslm.training.distil.walk import Rules, WalkedBatch

STUDENT_STEPS = 7
"""As many passes of a canvas as the embedded model has (docs/distillation.md)."""


def student(max_steps: int = STUDENT_STEPS) -> Sampler:
    """The embedded model's own sampler, with so many steps."""
    return Sampler(
        temperature=LinearTemperature(t_max=1.0, t_min=0.6, max_steps=max_steps),
        accept=EntropyBound(bound=0.1),
        stop=StableAndConfident(confidence=0.02),
    )


@dataclass(frozen=True, kw_only=True)
class Fewer:
    """The mixtures of `anchor` as everybody learns them; those of `walked` from where the sampler
    would be after 0 to `passes` steps, uniformly, of the model that is learning.

    taught     files of a teacher's answers (`taught.py`) by task: targets of the walked canvases
               instead of the task's own, unless they are held
    certainty  nats that a nat of doubt costs where the likeliest token of a walked canvas is right,
               unless it is held
    """

    anchor: tuple[Mixture, ...]
    walked: tuple[Mixture, ...]
    bins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    taught: Mapping[str, str] = field(default_factory=dict)
    passes: int = 4
    certainty: float = 0.5
    sampler: Sampler = field(default_factory=student)

    def __post_init__(self) -> None:
        if not 0 <= self.passes < self.sampler.max_steps:
            raise TrainingError(
                f"passes must be at least 0 and fewer than the {self.sampler.max_steps} steps of "
                f"the sampler, got {self.passes!r}"
            )
        if not self.certainty >= 0:
            raise TrainingError(f"certainty must be at least 0, got {self.certainty!r}")
        if any(mixture.pinned_share or mixture.suffix_share for mixture in self.walked):
            raise TrainingError(
                "walked canvases begin as pure noise, so nothing on them is given: leave "
                "pinned_share and suffix_share of their mixtures 0"
            )
        if self.certainty and self.walked and all(mixture.held for mixture in self.walked):
            raise TrainingError(
                f"certainty={self.certainty!r} would have no effect, as every walked mixture is "
                "held to the base: set it to 0"
            )
        if self.sampler.skip is not None or self.sampler.hold is not None:
            raise TrainingError(
                "a walk computes all positions in every pass and holds none: leave skip and hold "
                f"of the sampler None, got {self.sampler.skip!r} and {self.sampler.hold!r}"
            )
        learning = [mixture for mixture in self.walked if not mixture.held]
        if unused := set(self.taught) - {task for mixture in learning for task in mixture.tasks}:
            raise TrainingError(
                f"answers to {', '.join(sorted(unused))} are never learnt, as no walked mixture "
                "that is not held has that task: add one, or leave the file out"
            )

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """All of them."""
        return (*self.anchor, *self.walked)

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed:
        """What draws the batches. Raises TrainingError for a teacher's file that cannot be used."""
        return FewerFeed(self, tokenizer, config, seed=seed)


class FewerFeed:
    """The feed of `Fewer`; each batch is a pure function of seed and step, but for what the model
    makes of it."""

    def __init__(
        self, data: Fewer, tokenizer: Tokenizer, config: ModelConfig, *, seed: int
    ) -> None:
        self.data, self.seed, self.own = data, seed, bool(data.walked)
        self.rules = Rules(
            sampler=data.sampler, vocab_size=config.vocab_size, certainty=data.certainty
        )
        self.plain = Corpus(Tasks(mixtures=data.anchor, bins=data.bins), tokenizer, seed=seed)
        taught = {task: read_taught(path, task=task) for task, path in data.taught.items()}
        tasks = Tasks(mixtures=data.walked, bins=data.bins)
        self.walking = TaughtCorpus(tasks, tokenizer, seed=seed, taught=taught)
        self.fingerprint = fingerprint(taught)

    def micros(self, step: int) -> list[Micro]:
        """The ordinary micro-batches of a step, then the walked ones."""
        return [*self.plain.micros(step), *self.walked(step)]

    def walked(self, step: int) -> list[Micro]:
        return [
            self.started(mixture, key=f"walked {step}/{index}")
            for index, mixture in enumerate(self.data.walked)
            if mixture.due(step)
        ]

    def started(self, mixture: Mixture, *, key: str) -> Micro:
        """A micro-batch at the foot of its walk."""
        batch = self.walking.batch(mixture, key=key)
        generator = torch.Generator().manual_seed(
            random.Random(f"{self.seed}/{key}/walk").getrandbits(63)
        )

        def integers(below: int) -> torch.Tensor:
            return torch.randint(below, (len(batch.clean_RL),), generator=generator)

        settings: dict[str, Any] = vars(batch) | {
            "seed_R": integers(2**62),
            "steps_R": integers(self.data.passes + 1),
            "sighted_R": torch.zeros_like(batch.sighted_R),
        }
        walked = WalkedBatch(**settings, rules=self.rules)
        return Micro(name=f"{name_of(mixture)}, walked", batch=walked)

    def held_out(self, count: int) -> list[Micro]:
        """Ordinary micro-batches of the test split."""
        return self.plain.held_out(count)


class TaughtCorpus(Corpus):
    """Examples with a teacher's answers where there are some."""

    def __init__(self, tasks: Tasks, tokenizer: Tokenizer, *, seed: int, taught: Taught) -> None:
        super().__init__(tasks, tokenizer, seed=seed)
        self.taught = taught

    def draw(self, mixture: Mixture, rng: random.Random, *, split: Split = "train") -> Example:
        example = super().draw(mixture, rng, split=split)
        known = self.taught.get(example.task) if split == "train" else None
        return rng.choice(known) if known else example
