"""Batches: examples of a task become padded documents, canvases and their noise, keyed by step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from canvaslm.tasks import Example, get
from canvaslm.training.recipe import Mixture, Recipe

# B documents, N document tokens, C canvases per document, L canvas length


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Documents [B, N] padded on the right, and `C` noised canvases [B * C, L] of each.

    `causal_BN` marks the tokens that the causal loss predicts; `prefix_B` is where each canvas
    begins; `sighted_R` marks the canvases that are given their own first guess.
    """

    documents_BN: Tensor
    causal_BN: Tensor
    prefix_B: Tensor
    clean_RL: Tensor
    noised_RL: Tensor
    sighted_R: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


class Corpus:
    """Draws batches of a recipe; every batch is a pure function of (seed, step, index)."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, render_prompt: PromptRenderer) -> None:
        self.recipe, self.tokenizer, self.render_prompt = recipe, tokenizer, render_prompt
        self.eos, self.turn = tokenizer.token_to_id("<eos>"), tokenizer.token_to_id("<turn|>")

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
        wide = rng.random() < mixture.wide_share
        count = max(1, mixture.documents * mixture.canvas_length // 256) if wide else None
        examples = [self.draw(mixture, rng) for _ in range(count or mixture.documents)]
        length = 256 if wide else mixture.canvas_length
        whole = rng.random() < mixture.causal_share
        return self.assemble(examples, length, generator, mixture, whole=whole)

    def draw(self, mixture: Mixture, rng: random.Random) -> Example:
        name = rng.choices(list(mixture.tasks), weights=list(mixture.tasks.values()))[0]
        bins = self.recipe.bins.get(name)
        choice = rng.choices(list(bins), weights=list(bins.values()))[0] if bins else None
        return get(name).sample(rng, split="train", bin=choice)

    def assemble(
        self,
        examples: Sequence[Example],
        length: int,
        generator: torch.Generator,
        mixture: Mixture,
        *,
        whole: bool,
    ) -> Batch:
        """`whole` documents hold prompt and answer and carry the causal loss; others the prompt."""
        prompts = [self.render_prompt(e.prompt) for e in examples]
        answers = [[*self.encode(e.answer), self.turn][:length] for e in examples]
        documents = [p + a if whole else p for p, a in zip(prompts, answers, strict=True)]
        documents_BN = _pad(documents, max(map(len, documents)), 0)
        prefix_B = torch.tensor([len(p) for p in prompts])
        place_N = torch.arange(documents_BN.shape[1])
        ends_B = torch.tensor([len(d) for d in documents])
        begins_B = torch.ones_like(ends_B) if mixture.causal_prompt else prefix_B
        causal_BN = (place_N >= begins_B[:, None]) & (place_N < ends_B[:, None])
        clean_BL = _pad(answers, length, self.eos)
        known_BL = _pad([self.clues(e, length) for e in examples], length, 0).bool()
        clean_RL = clean_BL.repeat_interleave(mixture.canvases, dim=0)
        known_RL = known_BL.repeat_interleave(mixture.canvases, dim=0)
        noised_RL = self.noise(clean_RL, known_RL, mixture, generator)
        sighted_R = torch.rand(len(clean_RL), generator=generator) < 0.5
        return Batch(
            documents_BN=documents_BN,
            causal_BN=causal_BN,
            prefix_B=prefix_B,
            clean_RL=clean_RL,
            noised_RL=noised_RL,
            sighted_R=sighted_R,
        )

    def noise(
        self, clean_RL: Tensor, known_RL: Tensor, mixture: Mixture, generator: torch.Generator
    ) -> Tensor:
        """Replace each token with probability t ~ U(0.001, 1) by a uniform one of the vocabulary.

        In `pinned_share` of the canvases the answer's given tokens (Sudoku clues) stay clean.
        """
        rows = len(clean_RL)
        t_R1 = torch.rand(rows, 1, generator=generator) * 0.999 + 0.001
        replaced_RL = torch.rand(clean_RL.shape, generator=generator) < t_R1
        pinned_R1 = torch.rand(rows, 1, generator=generator) < mixture.pinned_share
        random_RL = torch.randint(
            self.tokenizer.get_vocab_size(), clean_RL.shape, generator=generator
        )
        return torch.where(replaced_RL & ~(known_RL & pinned_R1), random_RL, clean_RL)

    def clues(self, example: Example, length: int) -> list[int]:
        """1 at each answer position that the prompt gives away (a Sudoku's clues, row ends)."""
        if example.task != "sudoku":
            return [0] * length
        puzzle = example.prompt.partition("\n")[2]
        return [int(character != "0") for character in puzzle][:length]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


class PromptRenderer:
    """Renders a user turn to ids by hand-splitting the pocket template around its content."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.head = tokenizer.encode("<bos><|turn>user\n", add_special_tokens=False).ids
        self.tail = tokenizer.encode("<turn|>\n<|turn>model\n", add_special_tokens=False).ids

    def __call__(self, prompt: str) -> list[int]:
        body = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        return [*self.head, *body, *self.tail]


def _pad(rows: Sequence[Sequence[int]], length: int, fill: int) -> Tensor:
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
