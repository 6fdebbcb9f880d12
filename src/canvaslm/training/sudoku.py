"""The recipe `sudoku`: a small model of its own that solves grids on short canvases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from canvaslm.checkpoint.describe import published_generation
from canvaslm.engine.load import save_model
from canvaslm.errors import TrainingError
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.presets import GLOBAL, parameter_count
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import control
from canvaslm.training.grow import grow
from canvaslm.training.optimise.choose import MuonAdamW
from canvaslm.training.optimise.schedule import Trapezoid
from canvaslm.training.recipe import Recipe
from canvaslm.training.start import TOKENIZER, Scratch, copy_of
from canvaslm.training.state import load_state
from canvaslm.training.sudoku_data import Puzzles
from canvaslm.training.sudoku_stages import GROWN, LEFT_TO_RIGHT, STAGES, Stage
from canvaslm.training.sudoku_vocabulary import TEMPLATE, VOCABULARY, draw_map, grid_tokenizer
from canvaslm.training.vocabulary import tokenizer_files

CANVAS = 82
"""A digit for every cell, and the end."""

HEAD, WINDOW = 32, 512
MOST = 7_000_000
ROW_TURN = 314.0
"""RoPE base that gives the second of 16 frequencies one turn per 9 tokens, a row, and the fifth
one per 27, a band."""

GENERATION = {
    "max_denoising_steps": 64,
    "t_max": 1.6,
    "t_min": 0.4,
    "confidence_threshold": 0.03,
}
"""Hot: a digit that is not certain is drawn anew in each pass, as noise was in training; a cold
draft repeats its own mistakes (docs/sudoku.md)."""


@dataclass(frozen=True, kw_only=True)
class GridModel(Scratch):
    """First weights of a Sudoku model: dense, its canvas a grid, its vocabulary digits.

    All layers but the last are sliding ones, as in the release, with windows wider than a puzzle.
    `grown` is the folder of a run of fewer layers whose averaged weights it begins with.
    """

    hidden_size: int = 128
    num_layers: int = 6
    vocab_size: int = VOCABULARY
    most: int = MOST
    grown: str | None = None

    def vocabulary_files(self, seed: int) -> Iterable[tuple[str, str]]:
        del seed
        files = {**tokenizer_files(grid_tokenizer()), "chat_template.jinja": TEMPLATE.encode()}
        return [(name, raw.decode()) for name, raw in files.items()]

    @torch.no_grad()
    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        model = super().network(tokenizer, seed=seed)
        draw_map(model.embedding, torch.Generator().manual_seed(seed))
        if self.grown is not None:
            tensors, _ = load_state(Path(self.grown).expanduser())
            start = "average."
            averaged = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            if not averaged:
                raise TrainingError(
                    f"{self.grown} keeps no averaged weights to grow from: train it with ema=0.999"
                )
            grow(model, averaged)
        return model

    def config(self, tokenizer: Tokenizer) -> ModelConfig:
        """Raises TrainingError for a model of more than `most` parameters."""
        heads = self.hidden_size // HEAD
        sliding, full = (
            LayerConfig(heads=heads, kv_heads=heads, head_dim=HEAD, window=window, rope=rope)
            for window, rope in ((WINDOW, RopeConfig(theta=ROW_TURN)), (None, GLOBAL))
        )
        config = ModelConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=2 * self.hidden_size,
            layers=(*[sliding] * (self.num_layers - 1), full),
            canvas_length=CANVAS,
            max_positions=1024,
            eos_ids=(control(tokenizer, "<eos>"), control(tokenizer, "<turn|>")),
        )
        count = parameter_count(config)
        if count > self.most:
            raise TrainingError(
                f"hidden_size={self.hidden_size} makes {count:,} parameters, of which the proof "
                f"allows {self.most:,}: choose a smaller one"
            )
        return config

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        files = {name: (run / name).read_bytes() for name in TOKENIZER if (run / name).exists()}
        settings: dict[str, Any] = {**published_generation(model.config), **GENERATION}
        return save_model(
            copy_of(model, torch.float32),
            folder,
            generation=settings,
            extra_files=files,
            overwrite=True,
        )


def sudoku(
    *,
    size: int = 128,
    layers: int = 6,
    steps: int = 60_000,
    seed: int = 0,
    bfloat16: bool = True,
    stages: Sequence[Stage] | None = None,
    own: float = 0.2,
    pinned: float = 0.5,
    left_to_right: bool = False,
    file: str | None = None,
    grown: str | None = None,
) -> Recipe:
    """`own` and `pinned` at 0 are ablations; `left_to_right` makes the rival; `grown` goes on from
    a run of fewer layers, with puzzles in the prompt alone.

    Muon for matrices and a trapezoid are what taught the embedded model most grids for each one
    seen; the last fifth of the steps lowers the rate.
    """
    usual = LEFT_TO_RIGHT if left_to_right else STAGES if grown is None else GROWN
    data = Puzzles(
        stages=tuple(stages or usual),
        own_share=0.0 if left_to_right else own,
        pinned_share=pinned,
        left_to_right=left_to_right,
        file=file,
    )
    return Recipe(
        name="sudoku",
        start=GridModel(hidden_size=size, num_layers=layers, grown=grown),
        data=data,
        steps=steps,
        seed=seed,
        optimise=MuonAdamW(),
        schedule=Trapezoid(warmup=100, decay=0.2 if grown is None else 0.6),
        ema=0.999,
        save_every=200,
        bfloat16=bfloat16,
    )
