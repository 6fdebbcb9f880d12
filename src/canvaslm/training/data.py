"""Batches: examples of a task become padded documents, canvases and their noise, keyed by step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.tasks import Example, get
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.recipe import Mixture, Recipe

SUFFIX = 32
"""Tokens of the text after a gap that its canvas shows."""

# B documents, N document tokens, R canvases (a whole number for each document), L canvas length


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Documents [B, N] padded on the right, and noised canvases [R, L] of each.

    `causal_BN` marks the tokens that the causal loss predicts; `prefix_B` is where each canvas
    begins; `sighted_R` marks the canvases that are given their own first guess.
    """

    documents_BN: Tensor
    causal_BN: Tensor
    prefix_B: Tensor
    clean_RL: Tensor
    noised_RL: Tensor
    sighted_R: Tensor

    @property
    def tokens(self) -> int:
        return self.documents_BN.numel() + self.clean_RL.numel()

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


class Corpus:
    """Draws the batches of a recipe; each is a pure function of (seed, step, mixture)."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        self.recipe, self.tokenizer = recipe, tokenizer
        self.eos, self.turn = control(tokenizer, "<eos>"), control(tokenizer, "<turn|>")

    def batches(self, step: int) -> list[tuple[str, Batch]]:
        """The micro-batches of one optimiser step, each with its mixture's name."""
        return [
            ("+".join(mixture.tasks), self.batch(mixture, step=step, index=index))
            for index, mixture in enumerate(self.recipe.mixtures)
            if step % mixture.every == mixture.phase
        ]

    def batch(self, mixture: Mixture, *, step: int, index: int) -> Batch:
        rng = random.Random(f"{self.recipe.seed}/{step}/{index}")
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        count, length = mixture.documents, mixture.canvas_length
        if rng.random() < mixture.wide_share:  # as many tokens, in fewer and whole canvases
            count, length = max(1, count * length // mixture.wide_length), mixture.wide_length
        examples = [self.draw(mixture, rng) for _ in range(count)]
        whole = rng.random() < mixture.causal_share
        return self.assemble(examples, length, mixture, generator, whole=whole)

    def draw(self, mixture: Mixture, rng: random.Random) -> Example:
        name = rng.choices(list(mixture.tasks), weights=list(mixture.tasks.values()))[0]
        bins = self.recipe.bins.get(name)
        choice = rng.choices(list(bins), weights=list(bins.values()))[0] if bins else None
        return get(name).sample(rng, split="train", bin=choice)

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
        )

    def suffix(self, example: Example, mixture: Mixture, generator: torch.Generator) -> list[int]:
        """The first tokens of what follows a gap, for a canvas that shows them; else none."""
        if not example.after or torch.rand((), generator=generator) >= mixture.suffix_share:
            return []
        return self.tokenizer.encode(example.after)[:SUFFIX]

    def noise(self, clean_RL: Tensor, kept_RL: Tensor, generator: torch.Generator) -> Tensor:
        """Replace each token that is not kept with probability t ~ U(0.001, 1) by a uniform one of
        the vocabulary."""
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


def control(tokenizer: Tokenizer, name: str) -> int:
    """The id of a control token. Raises TrainingError if the vocabulary lacks it."""
    id = tokenizer.token_id(name)
    if id is None:
        raise TrainingError(f"the vocabulary has no {name}: training needs one that does")
    return id


def pad(rows: Sequence[Sequence[int]], length: int, fill: int) -> Tensor:
    """Rows of different lengths as one int64 [B, length]."""
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
