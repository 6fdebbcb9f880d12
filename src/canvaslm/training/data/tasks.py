"""Tasks as data: mixtures of generated examples, padded, noised and keyed by step."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.tasks import Example, Split, get
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Batch, Feed, Micro, control, pad

SUFFIX = 32
"""Tokens of the text after a gap that its canvas shows."""

# B documents, N document tokens, R canvases (a whole number for each document), L canvas length


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A micro-batch of every `every`-th step: its tasks, number of documents, length of canvases.

    tasks          share of each task by name
    documents      prompts per micro-batch; each carries `canvases` noised canvases
    canvas_length  tokens per canvas; a `wide_share` of the micro-batches takes `wide_length`
                   instead, so that answers also learn to end in a canvas of full size
    wide_weight    what the mean over a wide canvas counts, against 1 of the others: most of it is
                   end tokens, so those of an answer count wide_length / canvas_length times less
    causal_share   share of micro-batches whose encoder also reads the answer (causal loss)
    causal_prompt  whether the causal loss covers the prompt, too
    pinned_share   share of canvases whose given tokens (Sudoku clues) are left clean
    suffix_share   share of gaps whose canvas goes on with what follows them, left clean
    every, phase   takes part in the steps with step % every == phase
    since, until   and since <= step, < until if it is given
    bins           shares of a task's bins, where they are other than those of all mixtures
    held           above 0: an adapter is held to what its base says here instead of learning the
                   answers; weight of its canvases
    called         its name in logs; of its tasks if there is none
    """

    tasks: Mapping[str, float]
    documents: int
    canvas_length: int
    canvases: int = 1
    wide_share: float = 0.0
    wide_length: int = 256
    wide_weight: float = 1.0
    causal_share: float = 1.0
    causal_prompt: bool = True
    pinned_share: float = 0.0
    suffix_share: float = 0.0
    every: int = 1
    phase: int = 0
    since: int = 0
    until: int | None = None
    bins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    held: float = 0.0
    called: str | None = None

    def __post_init__(self) -> None:
        if not self.tasks or any(share <= 0 for share in self.tasks.values()):
            raise TrainingError(f"a mixture needs tasks with positive shares, got {self.tasks!r}")
        for name in ("documents", "canvas_length", "wide_length", "canvases", "every"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("wide_share", "causal_share", "pinned_share", "suffix_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")
        if not 0 < self.wide_weight < math.inf:
            raise TrainingError(f"wide_weight must be positive, got {self.wide_weight!r}")
        if self.wide_weight != 1 and not self.wide_share:
            raise TrainingError(
                f"without wide canvases wide_weight={self.wide_weight!r} would have no effect: set "
                "wide_share"
            )
        if not 0 <= self.held < math.inf:
            raise TrainingError(f"held is a weight of at least 0, got {self.held!r}")
        if not 0 <= self.phase < self.every:
            raise TrainingError(
                f"phase must lie in [0, every), or no step has the mixture: got {self.phase!r} "
                f"with every={self.every!r}"
            )
        if self.since < 0 or (self.until is not None and self.until <= self.since):
            raise TrainingError(
                f"a mixture takes part from step {self.since!r} up to {self.until!r}: that is none"
            )

    def due(self, step: int) -> bool:
        """Whether it takes part in a step."""
        begun = self.since <= step and (self.until is None or step < self.until)
        return begun and step % self.every == self.phase

    def shape(self, *, wide: bool) -> tuple[int, int]:
        """Documents, and tokens of a canvas; `wide`: as many tokens, in fewer and whole ones."""
        if not wide:
            return self.documents, self.canvas_length
        count = self.documents * self.canvas_length // self.wide_length
        return max(1, count), self.wide_length


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Generated examples: every step draws its mixtures' micro-batches, whose losses add up.

    `bins` are shares of the bins of a task by name; a task without has the shares of its own.
    """

    mixtures: tuple[Mixture, ...]
    bins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed:
        """What draws the batches; `config` decides nothing here."""
        del config
        return Corpus(self, tokenizer, seed=seed)


class Corpus:
    """The feed of `Tasks`; each batch is a pure function of (seed, step, mixture)."""

    fingerprint, own = "tasks", False

    def __init__(self, tasks: Tasks, tokenizer: Tokenizer, *, seed: int) -> None:
        self.tasks, self.tokenizer, self.seed = tasks, tokenizer, seed
        self.eos, self.turn = control(tokenizer, "<eos>"), control(tokenizer, "<turn|>")

    def micros(self, step: int) -> list[Micro]:
        """The micro-batches of one optimiser step, each with its mixture's name."""
        return [
            Micro(name=name_of(mixture), batch=self.batch(mixture, key=f"{step}/{index}"))
            for index, mixture in enumerate(self.tasks.mixtures)
            if mixture.due(step)
        ]

    def held_out(self, count: int) -> list[Micro]:
        """`count` rounds over all mixtures, drawn from the tasks' test split."""
        return [
            Micro(
                name=name_of(mixture),
                batch=self.batch(mixture, key=f"held out {n}/{index}", split="test"),
                canvas_weight=1 / count,
                causal_weight=1 / count,
            )
            for n in range(count)
            for index, mixture in enumerate(self.tasks.mixtures)
        ]

    def batch(self, mixture: Mixture, *, key: str, split: Split = "train") -> Batch:
        rng = random.Random(f"{self.seed}/{key}")
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        wide = rng.random() < mixture.wide_share
        count, length = mixture.shape(wide=wide)
        examples = [self.draw(mixture, rng, split=split) for _ in range(count)]
        whole = rng.random() < mixture.causal_share
        batch = self.assemble(examples, length, mixture, generator, whole=whole)
        return replace(batch, weight=mixture.wide_weight) if wide else batch

    def draw(self, mixture: Mixture, rng: random.Random, *, split: Split = "train") -> Example:
        name = rng.choices(list(mixture.tasks), weights=list(mixture.tasks.values()))[0]
        bins = mixture.bins.get(name) or self.tasks.bins.get(name)
        choice = rng.choices(list(bins), weights=list(bins.values()))[0] if bins else None
        return get(name).sample(rng, split=split, bin=choice)

    def assemble(
        self,
        examples: Sequence[Example],
        length: int,
        mixture: Mixture,
        generator: torch.Generator,
        *,
        whole: bool,
    ) -> Batch:
        """`whole` documents hold prompt and answer and carry the causal loss; others the prompt."""
        prompts = [self.tokenizer.render([{"role": "user", "content": e.prompt}]) for e in examples]
        answers = [self.tokenizer.encode(e.answer) for e in examples]
        suffixes = [self.suffix(e, mixture, generator) for e in examples]
        clean = [[*a, *s, self.turn][:length] for a, s in zip(answers, suffixes, strict=True)]
        documents = [p + c if whole else p for p, c in zip(prompts, clean, strict=True)]
        documents_BN = pad(documents, max(map(len, documents)), 0)
        prefix_B = torch.tensor([len(p) for p in prompts])
        place_N = torch.arange(documents_BN.shape[1])
        ends_B = torch.tensor([len(d) for d in documents])
        begins_B = torch.ones_like(ends_B) if mixture.causal_prompt else prefix_B
        fixed = [
            ([0] * len(a) + [1] * len(s))[:length] for a, s in zip(answers, suffixes, strict=True)
        ]
        clean_RL, given_RL, fixed_RL = (
            pad(rows, length, fill).repeat_interleave(mixture.canvases, dim=0)
            for rows, fill in (
                (clean, self.eos),
                ([given(e)[:length] for e in examples], 0),
                (fixed, 0),
            )
        )
        pinned_R1 = torch.rand(len(clean_RL), 1, generator=generator) < mixture.pinned_share
        kept_RL = fixed_RL.bool() | (given_RL.bool() & pinned_R1)
        return Batch(
            documents_BN=documents_BN,
            causal_BN=(place_N >= begins_B[:, None]) & (place_N < ends_B[:, None]),
            prefix_B=prefix_B,
            clean_RL=clean_RL,
            noised_RL=self.noise(clean_RL, kept_RL, generator),
            sighted_R=torch.rand(len(clean_RL), generator=generator) < 0.5,
            held=mixture.held,
        )

    def suffix(self, example: Example, mixture: Mixture, generator: torch.Generator) -> list[int]:
        """The first tokens of what follows a gap, for a canvas that shows them; else none."""
        if not example.after or torch.rand((), generator=generator) >= mixture.suffix_share:
            return []
        return self.tokenizer.encode(example.after)[:SUFFIX]

    def noise(self, clean_RL: Tensor, kept_RL: Tensor, generator: torch.Generator) -> Tensor:
        """Replace each token that is not kept with probability t ~ U(0.001, 1) by a uniform one of
        the vocabulary: the sampler's noise, drawn as whole numbers ever since the first model."""
        rows = len(clean_RL)
        t_R1 = torch.rand(rows, 1, generator=generator) * 0.999 + 0.001
        replaced_RL = torch.rand(clean_RL.shape, generator=generator) < t_R1
        random_RL = torch.randint(self.tokenizer.vocab_size, clean_RL.shape, generator=generator)
        return torch.where(replaced_RL & ~kept_RL, random_RL, clean_RL)


def given(example: Example) -> list[int]:
    """1 at each answer token that the prompt gives away: a Sudoku's clues and line ends."""
    if example.task != "sudoku":
        return []
    puzzle = example.prompt.partition("\n")[2]
    return [int(character != "0") for character in puzzle]


def name_of(mixture: Mixture) -> str:
    return mixture.called or "+".join(mixture.tasks)
