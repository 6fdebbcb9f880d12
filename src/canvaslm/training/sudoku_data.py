"""Sudoku as training data: the owner's protocol on short canvases, clues pinned on half of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.tasks import Example, Split
from canvaslm.tasks.sudoku import CLUES, Sudoku
from canvaslm.tasks.sudoku_files import Puzzle, read_puzzles
from canvaslm.tasks.sudoku_protocol import ProtocolSudoku, digits_of, spaced
from canvaslm.tasks.task import split_of
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Feed, Micro, control, pad
from canvaslm.training.sudoku_own import OwnBatch

BINS = {"40+": 0.15, "36-39": 0.15, "30-35": 0.25, "24-29": 0.3, "<24": 0.15}

# B puzzles, N document tokens, R canvases, L canvas length


@dataclass(frozen=True, kw_only=True)
class Puzzles:
    """Puzzles made here, or those of a file, as the owner's protocol asks them.

    documents     puzzles of a step, each with `canvases` noised canvases, in `accumulate` parts
    canvas_length tokens of a canvas; a `wide_share` of the parts takes the model's whole one
    pinned_share  canvases whose clues are left clean
    own_share     canvases noised over the model's own output after one step or two
    causal_share  parts whose encoder reads the answer, too (causal loss)
    left_to_right only the causal loss, on every answer: the rival of the same size
    bins          share of each bin of clues among the puzzles made here
    pool          base puzzles that they come from; every one comes in all its symmetric forms
    file          puzzles of a file instead, in all their symmetric forms; those whose grid belongs
                  to the held-out side are left out
    """

    documents: int = 64
    canvases: int = 2
    accumulate: int = 1
    canvas_length: int = 83
    wide_share: float = 0.12
    pinned_share: float = 0.5
    own_share: float = 0.2
    causal_share: float = 0.1
    left_to_right: bool = False
    bins: Mapping[str, float] = field(default_factory=lambda: dict(BINS))
    pool: int = 20_000
    held_out_pool: int = 300
    file: str | None = None

    def __post_init__(self) -> None:
        for name in ("documents", "canvases", "accumulate", "pool", "held_out_pool"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.documents % self.accumulate:
            raise TrainingError(
                f"accumulate={self.accumulate} must divide documents={self.documents}"
            )
        if self.canvas_length < 82:
            raise TrainingError(
                f"canvas_length must hold 81 digits and the end, 82, got {self.canvas_length}"
            )
        for name in ("wide_share", "pinned_share", "own_share", "causal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")
        if not self.bins or set(self.bins) - set(CLUES) or sum(self.bins.values()) <= 0:
            raise TrainingError(f"bins are shares of {', '.join(CLUES)}, got {dict(self.bins)!r}")

    def open(self, tokenizer: Tokenizer, config: ModelConfig, *, seed: int) -> Feed:
        """What draws the batches. Raises TaskError for a file that cannot be used."""
        return GridFeed(self, tokenizer, config, seed=seed)


class GridFeed:
    """The feed of `Puzzles`; each batch is a pure function of seed and step."""

    def __init__(
        self, puzzles: Puzzles, tokenizer: Tokenizer, config: ModelConfig, *, seed: int
    ) -> None:
        self.puzzles, self.tokenizer, self.seed = puzzles, tokenizer, seed
        self.whole = config.canvas_length
        if puzzles.canvas_length > self.whole:
            raise TrainingError(
                f"canvas_length={puzzles.canvas_length}: a canvas of this model holds {self.whole}"
            )
        self.turn = control(tokenizer, "<turn|>")
        self.eos = control(tokenizer, "<eos>")
        pools = Sudoku(train_pool=puzzles.pool, test_pool=puzzles.held_out_pool)
        self.task = ProtocolSudoku(puzzles=pools)
        self.given = None if puzzles.file is None else from_file(puzzles.file)
        self.fingerprint = "puzzles" if self.given is None else f"{hash_of(self.given):016x}"

    def micros(self, step: int) -> list[Micro]:
        """The parts of one step, which count the same."""
        parts = self.puzzles.accumulate
        return [self.micro(f"{step}/{part}", 1 / parts) for part in range(parts)]

    def held_out(self, count: int) -> list[Micro]:
        """`count` parts of puzzles whose grids no step has in any form."""
        return [self.micro(f"held out {n}", 1 / count, split="test") for n in range(count)]

    def micro(self, key: str, weight: float, *, split: Split = "train") -> Micro:
        return Micro(
            name="sudoku",
            batch=self.batch(key, split=split),
            canvas_weight=0.0 if self.puzzles.left_to_right else weight,
            causal_weight=weight,
        )

    def batch(self, key: str, *, split: Split = "train") -> OwnBatch:
        """A part of a step: its puzzles, and all chance that its canvases take."""
        puzzles = self.puzzles
        rng = random.Random(f"{self.seed}/{key}")
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        wide = rng.random() < puzzles.wide_share
        read = puzzles.left_to_right or rng.random() < puzzles.causal_share
        count = puzzles.documents // puzzles.accumulate
        examples = [self.draw(rng, split=split) for _ in range(count)]
        return self.assemble(
            examples, self.whole if wide else puzzles.canvas_length, generator, read=read
        )

    def draw(self, rng: random.Random, *, split: Split) -> Example:
        if self.given is not None and split == "train":
            return disguised(rng.choice(self.given), rng)
        bins = self.puzzles.bins
        bin = rng.choices(list(bins), weights=list(bins.values()))[0]
        return self.task.sample(rng, split=split, bin=bin)

    def assemble(
        self, examples: list[Example], length: int, generator: torch.Generator, *, read: bool
    ) -> OwnBatch:
        """With `read` the documents hold prompt and answer and carry the causal loss."""
        prompts = [self.tokenizer.render([{"role": "user", "content": e.prompt}]) for e in examples]
        clean = [[*self.tokenizer.encode(e.answer), self.turn] for e in examples]
        documents = [p + c if read else p for p, c in zip(prompts, clean, strict=True)]
        documents_BN = pad(documents, max(map(len, documents)), 0)
        prefix_B = torch.tensor([len(p) for p in prompts])
        place_N = torch.arange(documents_BN.shape[1])
        ends_B = torch.tensor([len(d) for d in documents])
        causal_BN = (place_N >= prefix_B[:, None]) & (place_N < ends_B[:, None])
        clues = [[int(d > 0) for d in digits_of(e.prompt)] for e in examples]
        canvases = 1 if self.puzzles.left_to_right else self.puzzles.canvases
        clean_RL = pad(clean, length, self.eos).repeat_interleave(canvases, dim=0)
        clue_RL = pad(clues, length, 0).repeat_interleave(canvases, dim=0).bool()
        return self.noised(
            clean_RL, clue_RL, generator,
            documents_BN=documents_BN, causal_BN=causal_BN, prefix_B=prefix_B,
        )  # fmt: skip

    def noised(
        self, clean_RL: Tensor, clue_RL: Tensor, generator: torch.Generator, **rest: Tensor
    ) -> OwnBatch:
        """Replace what is not kept with probability t ~ U(0.001, 1) by any token of all."""
        rows = len(clean_RL)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        kept_RL = clue_RL & (uniform(rows, 1) < self.puzzles.pinned_share)
        fresh_RL = (uniform(*clean_RL.shape) < uniform(rows, 1) * 0.999 + 0.001) & ~kept_RL
        random_RL = torch.randint(self.tokenizer.vocab_size, clean_RL.shape, generator=generator)
        share, twice = self.puzzles.own_share, uniform(rows) < 0.5
        own_R = torch.where(uniform(rows) < share, 1 + twice.long(), 0)
        return OwnBatch(
            **rest,
            clean_RL=clean_RL,
            noised_RL=torch.where(fresh_RL, random_RL, clean_RL),
            sighted_R=uniform(rows) < 0.5,
            own_R=own_R,
            start_RL=torch.where(kept_RL, clean_RL, random_RL),
            fresh_RL=fresh_RL,
            kept_RL=kept_RL,
            uniform_RL=uniform(*clean_RL.shape),
        )


def from_file(path: str) -> list[Puzzle]:
    """The puzzles of a file on the training side of the hold-out. Raises TaskError."""
    found = [p for p in read_puzzles(path) if split_of(p.example().canonical) == "train"]
    if not found:
        raise TrainingError(f"{path}: every grid belongs to the held-out side; add more puzzles")
    return found


def hash_of(puzzles: list[Puzzle]) -> int:
    from hashlib import blake2b

    digest = blake2b(digest_size=8)
    for puzzle in puzzles:
        digest.update(bytes(puzzle.cells) + bytes(puzzle.solution))
    return int.from_bytes(digest.digest(), "big")


def disguised(puzzle: Puzzle, rng: random.Random) -> Example:
    """The puzzle in a random one of its symmetric forms."""
    from canvaslm.tasks.sudoku_grid import random_symmetry

    source, digits = random_symmetry(rng)
    example = puzzle.example()
    return Example(
        task=example.task,
        prompt=spaced([digits[puzzle.cells[cell]] for cell in source]),
        answer=spaced([digits[puzzle.solution[cell]] for cell in source]),
        bin=example.bin,
        canonical=example.canonical,
    )
