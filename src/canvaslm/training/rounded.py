"""A run that starts from a network of few bits: the base of an adapter, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from canvaslm.adapter.rounded import frozen
from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint
from canvaslm.engine.quantised.read import quantise_model, read_state
from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import scheme_of
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.start import tokenizer_of

Type = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Rounded:
    """A checkpoint folder or hub id in few bits, or rounded while it is read.

    quant     int4, int8 or mxfp4; None: as a quantised folder has it
    dtype     of norms, router and embedding, and of what lies between the products
    """

    model: str
    quant: str | None = None
    dtype: Type = "float32"

    @property
    def base(self) -> str:
        return self.model

    @cached_property
    def checkpoint(self) -> Checkpoint:
        checkpoint = open_checkpoint(self.model)
        if self.quant is None and not checkpoint.quantised:
            raise TrainingError(f"{self.model} is not quantised: say how, quant='int8' or another")
        return checkpoint

    def tokenizer(self, run: Path, *, seed: int) -> Tokenizer:
        del run, seed
        return tokenizer_of(self.checkpoint)

    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        del tokenizer, seed
        if self.quant is None:
            state = read_state(self.checkpoint)
        else:
            state = quantise_model(self.checkpoint, scheme_of(self.quant))
        return frozen(self.checkpoint.config, state, dtype=getattr(torch, self.dtype))

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        del model, folder, run
        raise TrainingError("a base of few bits is not written again: train an adapter on it")
