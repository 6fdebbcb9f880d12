"""Sudoku as training data: the owner's protocol on short canvases, clues pinned on half of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.tasks import Example, Split
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.tasks.sudoku_files import Puzzle, read_puzzles
from canvaslm.tasks.sudoku_grid import random_symmetry
from canvaslm.tasks.sudoku_protocol import ALONE, ProtocolSudoku, digits_of, spaced
from canvaslm.tasks.task import split_of
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Feed, Micro, control, pad
from canvaslm.training.sudoku_own import OwnBatch
from canvaslm.training.sudoku_stages import STAGES, Stage, check, stage_at

# B puzzles, N document tokens, R canvases, L canvas length


@dataclass(frozen=True, kw_only=True)
class Puzzles:
    """Puzzles made here, or those of a file, asked in two ways in every step.

    stages        what steps are made of
    pinned_share  canvases of puzzles in the prompt whose clues are left clean, too
    own_share     canvases noised over the model's own output after one step or two
    causal_share  steps whose encoder reads the answer, too (causal loss)
    left_to_right only the causal loss, on every answer: the rival of the same size
    pool          base puzzles that they come from; every one comes in all its symmetric forms
    file          puzzles of a file instead, in all their symmetric forms; those whose grid belongs
                  to the held-out side are left out
    """

    stages: tuple[Stage, ...] = STAGES
    pinned_share: float = 0.5
    own_share: float = 0.2
    causal_share: float = 0.1
    left_to_right: bool = False
    pool: int = 20_000
    held_out_pool: int = 300
    file: str | None = None

    def __post_init__(self) -> None:
        check(self.stages)
        for name in ("pool", "held_out_pool"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("pinned_share", "own_share", "causal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed:
        """What draws the batches. Raises TaskError for a file that cannot be used."""
        return GridFeed(self, tokenizer, config, seed=seed)


class GridFeed:
    """The feed of `Puzzles`; each batch is a pure function of seed and step."""

    own = True

    def __init__(
        self, puzzles: Puzzles, tokenizer: Tokenizer, config: ModelConfig, *, seed: int
    ) -> None:
        self.puzzles, self.tokenizer, self.seed = puzzles, tokenizer, seed
        self.length = config.canvas_length
        if self.length < 82:
            raise TrainingError(
                f"a canvas must hold 81 digits and the end, 82, this model's {self.length}"
            )
        self.turn = control(tokenizer, "<turn|>")
        self.eos = control(tokenizer, "<eos>")
        pools = Sudoku(train_pool=puzzles.pool, test_pool=puzzles.held_out_pool)
        self.task = ProtocolSudoku(puzzles=pools)
        self.given = None if puzzles.file is None else from_file(puzzles.file)
        self.fingerprint = "puzzles" if self.given is None else f"{hash_of(self.given):016x}"

    def micros(self, step: int) -> list[Micro]:
        """The parts of one step: puzzles in the prompt, and puzzles on the canvas."""
        return self.parts(str(step), stage_at(step, self.puzzles.stages))

    def held_out(self, count: int) -> list[Micro]:
        """`count` times both parts of the last stage, of puzzles whose grids no step has in any
        form."""
        last = self.puzzles.stages[-1]
        parts = (
            self.parts(f"held out {n}", last, share=1 / count, split="test") for n in range(count)
        )
        return [micro for both in parts for micro in both]

    def parts(
        self, key: str, stage: Stage, *, share: float = 1.0, split: Split = "train"
    ) -> list[Micro]:
        """Every canvas counts the same."""
        puzzles, asked = self.puzzles, share * stage.asked_share
        micros = [
            Micro(
                name="asked",
                batch=self.asked(key, stage, split=split),
                canvas_weight=0.0 if puzzles.left_to_right else asked,
                causal_weight=share,
            )
        ]
        if stage.alone and not puzzles.left_to_right:
            alone = self.alone(key, stage, split=split)
            micros.append(
                Micro(name="alone", batch=alone, canvas_weight=share - asked, causal_weight=0.0)
            )
        return micros

    def asked(self, key: str, stage: Stage, *, split: Split = "train") -> OwnBatch:
        """Puzzles in the prompt: documents, canvases, and all chance that these take.

        Where the encoder reads the answer, too, documents carry the causal loss.
        """
        puzzles = self.puzzles
        rng, generator = chance(f"{self.seed}/{key}")
        read = puzzles.left_to_right or rng.random() < puzzles.causal_share
        examples = [self.draw(rng, stage, split=split) for _ in range(stage.documents)]
        prompts = [self.prompt(example.prompt) for example in examples]
        clean = [self.answer(example) for example in examples]
        documents = [p + c if read else p for p, c in zip(prompts, clean, strict=True)]
        documents_BN = pad(documents, max(map(len, documents)), 0)
        prefix_B = torch.tensor([len(p) for p in prompts])
        place_N = torch.arange(documents_BN.shape[1])
        ends_B = torch.tensor([len(d) for d in documents])
        causal_BN = (place_N >= prefix_B[:, None]) & (place_N < ends_B[:, None])
        clean_RL, clue_RL = self.grids(examples, canvases=stage.canvases)
        pinned_R1 = torch.rand(len(clean_RL), 1, generator=generator) < puzzles.pinned_share
        return self.noised(
            clean_RL, clue_RL & pinned_R1, stage, generator,
            documents_BN=documents_BN, causal_BN=causal_BN, prefix_B=prefix_B,
        )  # fmt: skip

    def alone(self, key: str, stage: Stage, *, split: Split = "train") -> OwnBatch:
        """Puzzles on the canvas: all of them answer one short prompt, so it is encoded once."""
        rng, generator = chance(f"{self.seed}/{key}/alone")
        examples = [self.draw(rng, stage, split=split) for _ in range(stage.alone)]
        document_1N = torch.tensor([self.prompt(ALONE)])
        return self.noised(
            *self.grids(examples, canvases=1),
            stage,
            generator,
            documents_BN=document_1N,
            causal_BN=torch.zeros_like(document_1N, dtype=torch.bool),
            prefix_B=torch.tensor([document_1N.shape[1]]),
        )

    def prompt(self, text: str) -> list[int]:
        return self.tokenizer.render([{"role": "user", "content": text}])

    def answer(self, example: Example) -> list[int]:
        return [*self.tokenizer.encode(example.answer), self.turn]

    def grids(self, examples: list[Example], *, canvases: int) -> tuple[Tensor, Tensor]:
        """Solutions and where clues are, both [R, L], `canvases` rows for each example."""
        clean_BL = pad([self.answer(e) for e in examples], self.length, self.eos)
        clue_BL = pad([[int(d > 0) for d in digits_of(e.prompt)] for e in examples], self.length, 0)
        return (
            clean_BL.repeat_interleave(canvases, dim=0),
            clue_BL.bool().repeat_interleave(canvases, dim=0),
        )

    def draw(self, rng: random.Random, stage: Stage, *, split: Split) -> Example:
        if self.given is not None and split == "train":
            return disguised(rng.choice(self.given), rng)
        bin = rng.choices(list(stage.bins), weights=list(stage.bins.values()))[0]
        return self.task.sample(rng, split=split, bin=bin)

    def noised(
        self,
        clean_RL: Tensor,
        kept_RL: Tensor,
        stage: Stage,
        generator: torch.Generator,
        **rest: Any,
    ) -> OwnBatch:
        """Replace what is not kept with probability t by any token of all."""
        rows = len(clean_RL)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        among_RL, t_R1 = uniform(*clean_RL.shape), uniform(rows, 1) * 0.999 + 0.001
        fresh_RL = (among_RL < t_R1 ** (1 / stage.noise)) & ~kept_RL
        random_RL = torch.randint(self.tokenizer.vocab_size, clean_RL.shape, generator=generator)
        share, twice = self.puzzles.own_share, uniform(rows) < 0.5
        own_R = torch.where(uniform(rows) < share, 1 + twice.long(), 0)
        sighted_R, uniform_RL = uniform(rows) < 0.5, uniform(*clean_RL.shape)
        looks_R = torch.zeros(rows, dtype=torch.int64)
        if stage.looks > 1:
            several_R = sighted_R & (uniform(rows) < 0.5)
            looks_R = torch.randint(2, stage.looks + 1, (rows,), generator=generator) * several_R
        return OwnBatch(
            **rest,
            clean_RL=clean_RL,
            noised_RL=torch.where(fresh_RL, random_RL, clean_RL),
            sighted_R=sighted_R & (looks_R == 0),
            own_R=own_R,
            start_RL=torch.where(kept_RL, clean_RL, random_RL),
            fresh_RL=fresh_RL,
            kept_RL=kept_RL,
            uniform_RL=uniform_RL,
            looks_R=looks_R,
        )


def chance(key: str) -> tuple[random.Random, torch.Generator]:
    """Two streams of random numbers that depend on `key` alone."""
    rng = random.Random(key)
    return rng, torch.Generator().manual_seed(rng.getrandbits(63))


def from_file(path: str) -> list[Puzzle]:
    """The puzzles of a file on the training side of the hold-out. Raises TaskError."""
    found = [p for p in read_puzzles(path) if split_of(p.example().canonical) == "train"]
    if not found:
        raise TrainingError(f"{path}: every grid belongs to the held-out side; add more puzzles")
    return found


def hash_of(puzzles: list[Puzzle]) -> int:
    digest = blake2b(digest_size=8)
    for puzzle in puzzles:
        digest.update(bytes(puzzle.cells) + bytes(puzzle.solution))
    return int.from_bytes(digest.digest(), "big")


def disguised(puzzle: Puzzle, rng: random.Random) -> Example:
    """The puzzle in a random one of its symmetric forms."""
    source, digits = random_symmetry(rng)
    example = puzzle.example()
    return Example(
        task=example.task,
        prompt=spaced([digits[puzzle.cells[cell]] for cell in source]),
        answer=spaced([digits[puzzle.solution[cell]] for cell in source]),
        bin=example.bin,
        canonical=example.canonical,
    )
