"""Files as data: checked before the first step, streamed, one random canvas of each example."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from canvaslm.diffusion.noise import UniformNoise
from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Batch, Feed, Micro, control, pad, weigh
from canvaslm.training.data.order import Order
from canvaslm.training.data.passage import Case, Opened, Source, choose

LEAST_NOISE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Examples of all `sources`, shuffled together; one canvas of each, as published.

    documents      examples of a micro-batch; a step takes `accumulate` of them
    canvas_length  tokens of a canvas; None: the model's own
    canvases       most canvases of an answer; a longer one is refused
    noises         noised copies of the chosen canvas (1 as published): they share its prefix
    causal_prompt  whether the causal loss covers the prompt, too
    held_out       share of the examples that is never learnt from, but measured
    """

    sources: Sequence[Source]
    documents: int = 8
    accumulate: int = 1
    canvas_length: int | None = None
    canvases: int = 16
    noises: int = 1
    causal_prompt: bool = True
    held_out: float = 0.0

    def __post_init__(self) -> None:
        if not self.sources:
            raise TrainingError("documents need sources: give at least one")
        for name in ("documents", "accumulate", "canvases", "noises"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not 0 <= self.held_out < 1:
            raise TrainingError(f"held_out must lie in [0, 1), got {self.held_out!r}")
        if self.canvas_length is not None and self.canvas_length < 1:
            raise TrainingError(f"canvas_length must be at least 1, got {self.canvas_length!r}")

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed:
        """Open and check every example. Raises TrainingError naming file and line."""
        return Stream(self, tokenizer, config, seed=seed)


class Stream:
    """The feed of `Documents`."""

    own = False

    def __init__(
        self, documents: Documents, tokenizer: Tokenizer, config: ModelConfig, *, seed: int
    ) -> None:
        self.documents, self.tokenizer, self.config, self.seed = documents, tokenizer, config, seed
        self.length = documents.canvas_length or config.canvas_length
        self.eos, self.noise = (
            control(tokenizer, "<eos>"),
            UniformNoise(vocab_size=config.vocab_size),
        )
        self.sources: list[Opened] = [source.open() for source in documents.sources]
        self.ends = list(accumulate(map(len, self.sources)))
        for index in range(self.ends[-1]):
            self.check(index)
        aside = round(documents.held_out * self.ends[-1])
        self.order = Order(self.ends[-1], seed=seed, held_out=aside)
        if not len(self.order):
            raise TrainingError(f"all {aside} examples are held out: give more, or hold out less")

    @property
    def fingerprint(self) -> str:
        return "/".join(source.fingerprint for source in self.sources)

    def check(self, index: int) -> None:
        """Raise TrainingError unless an example can be learnt; generators are trusted."""
        source, place = self.find(index)
        for passage in source.passages(place, self.tokenizer, random.Random(0)):
            count = passage.canvases(self.length)
            seen = len(passage.prompt) + self.length * min(count, self.documents.canvases)
            where = source.where(place)
            if count > self.documents.canvases and not passage.rolling:
                raise TrainingError(
                    f"{where}: the answer takes {count} canvases of {self.length} tokens, allowed "
                    f"are {self.documents.canvases}: shorten it, or raise `canvases`"
                )
            if seen > self.config.max_positions:
                raise TrainingError(
                    f"{where}: prompt and canvases take {seen} tokens, the model has room for "
                    f"{self.config.max_positions}: shorten the prompt, or lower `canvases`"
                )

    def find(self, index: int) -> tuple[Opened, int]:
        """The source of an example, and its place there."""
        number = bisect_right(self.ends, index)
        return self.sources[number], index - (self.ends[number - 1] if number else 0)

    def micros(self, step: int) -> list[Micro]:
        count = self.documents.documents * self.documents.accumulate
        draws = [self.order.draw(step * count + n) for n in range(count)]
        return self.gather([self.draw(epoch, index) for epoch, index in draws])

    def held_out(self, count: int) -> list[Micro]:
        chosen = self.order.held_out[: count * self.documents.documents]
        return self.gather([self.draw(0, index) for index in chosen]) if chosen else []

    def draw(self, epoch: int, index: int) -> tuple[Case, int]:
        """One canvas of an example, and the seed of its noise."""
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        source, place = self.find(index)
        passages = source.passages(place, self.tokenizer, rng)
        case = choose(passages, rng, length=self.length, most=self.documents.canvases)
        return case, rng.getrandbits(63)

    def gather(self, cases: Sequence[tuple[Case, int]]) -> list[Micro]:
        """Micro-batches of cases of like length, so that little is padded; the sum of their
        gradients does not depend on who is beside whom."""
        ordered = sorted(cases, key=lambda case: len(case[0]))
        size = self.documents.documents
        parts = [ordered[n : n + size] for n in range(0, len(ordered), size)]
        return weigh("documents", [self.assemble(part) for part in parts])

    def assemble(self, cases: Sequence[tuple[Case, int]]) -> Batch:
        rows = [[*case.prefix, *case.clean] for case, _ in cases]
        documents_BN = pad(rows, max(map(len, rows)), 0)
        prefix_B = torch.tensor([len(case.prefix) for case, _ in cases])
        place_N, ends_B = torch.arange(documents_BN.shape[1]), torch.tensor([*map(len, rows)])
        begins_B = torch.ones_like(ends_B) if self.documents.causal_prompt else prefix_B
        clean_BL = pad([case.clean for case, _ in cases], self.length, self.eos)
        noised, sighted = zip(
            *(self.corrupt(row_L, seed) for row_L, (_, seed) in zip(clean_BL, cases, strict=True)),
            strict=True,
        )
        return Batch(
            documents_BN=documents_BN,
            causal_BN=(place_N >= begins_B[:, None]) & (place_N < ends_B[:, None]),
            prefix_B=prefix_B,
            clean_RL=clean_BL.repeat_interleave(self.documents.noises, dim=0),
            noised_RL=torch.cat(noised),
            sighted_R=torch.cat(sighted),
        )

    def corrupt(self, clean_L: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Noised copies [n, L] of a canvas, each token replaced with probability t ~ U(0.001, 1)
        by the sampler's noise, and which of them see their first guess: half."""
        generator, count = torch.Generator().manual_seed(seed), self.documents.noises

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, dtype=torch.float64)

        t_n1 = LEAST_NOISE + (1 - LEAST_NOISE) * uniform(count, 1)
        replaced_nL = uniform(count, self.length) < t_n1
        tokens_nL = self.noise.tokens(uniform(count, self.length))
        return torch.where(replaced_nL, tokens_nL, clean_L), uniform(count) < 0.5
