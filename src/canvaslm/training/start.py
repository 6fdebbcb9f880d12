"""Where a run starts from: first weights of its own, or a checkpoint's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import torch

from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint
from canvaslm.engine.checks import check_integer
from canvaslm.engine.load import load_model, save_model
from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.model.presets import pocket
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import control
from canvaslm.training.files import write_text
from canvaslm.training.pocket import initialise_for_training, vocabulary_texts
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class Start(Protocol):
    """First weights and their tokenizer."""

    @property
    def base(self) -> str | None:
        """What an adapter is told to go on; None: nothing that lasts."""
        ...

    def tokenizer(self, run: Path, *, seed: int) -> Tokenizer:
        """The tokenizer, kept in the run's folder where it is learnt."""
        ...

    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        """The network in float32 with its first weights."""
        ...

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        """Write a checkpoint folder of the network, with all that belongs to it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A new network of the embedded model's kind, whose vocabulary is learnt from the tasks, or is
    that of the folder `vocabulary`."""

    hidden_size: int = 128
    num_layers: int = 6
    vocab_size: int = 2048
    vocabulary: str | None = None
    base: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.hidden_size % 32 or self.hidden_size < 64:
            raise TrainingError(
                f"hidden_size must be a multiple of 32 and at least 64, got {self.hidden_size!r}"
            )
        if self.num_layers % 3 or self.num_layers < 3:
            raise TrainingError(f"num_layers must be a multiple of 3, got {self.num_layers!r}")

    def tokenizer(self, run: Path, *, seed: int) -> Tokenizer:
        if not (run / "tokenizer.json").exists():
            # tokenizer.json comes last: where it stands, the others do.
            for name, text in reversed(list(self.vocabulary_files(seed))):
                write_text(run / name, text)
        return read_tokenizer(run, self.vocab_size)

    def vocabulary_files(self, seed: int) -> Iterable[tuple[str, str]]:
        if self.vocabulary is None:
            learnt = train_tokenizer(vocabulary_texts(seed), vocab_size=self.vocab_size)
            return [(name, raw.decode()) for name, raw in tokenizer_files(learnt).items()]
        files = [Path(self.vocabulary).expanduser() / name for name in TOKENIZER]
        if not files[0].is_file():
            raise TrainingError(f"{self.vocabulary} holds no tokenizer.json: give its folder")
        return [(path.name, path.read_text("utf-8")) for path in files if path.is_file()]

    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        model = Transformer(self.config(tokenizer))
        initialise_for_training(model, seed=seed)
        return model

    def config(self, tokenizer: Tokenizer) -> ModelConfig:
        return pocket(
            hidden_size=self.hidden_size,
            layers=self.num_layers,
            vocab_size=self.vocab_size,
            eos_ids=(control(tokenizer, "<eos>"), control(tokenizer, "<turn|>")),
        )

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        files = {name: (run / name).read_bytes() for name in TOKENIZER if (run / name).exists()}
        return save_model(copy_of(model, torch.float32), folder, extra_files=files, overwrite=True)


@dataclass(frozen=True)
class Base:
    """A checkpoint folder or hub id in floating point; what is saved has its type and files.

    `max_steps` is how many steps a canvas of the saved model takes at most; None: as many as the
    checkpoint says.
    """

    model: str
    max_steps: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.max_steps is not None:
            check_integer("max_steps", self.max_steps, least=1)

    @property
    def base(self) -> str:
        return self.model

    @cached_property
    def checkpoint(self) -> Checkpoint:
        checkpoint = open_checkpoint(self.model)
        if checkpoint.quantised:
            raise TrainingError(
                f"{self.model} is quantised, so its weights cannot learn: start from the "
                "checkpoint it was made from, or train an adapter on it, start=Rounded(...)"
            )
        return checkpoint

    def tokenizer(self, run: Path, *, seed: int) -> Tokenizer:
        del run, seed
        return tokenizer_of(self.checkpoint)

    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        del tokenizer, seed
        model = load_model(self.checkpoint, device=torch.device("cpu"), dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.data = parameter.clone()  # never the mapped file itself
        return model

    def save(self, model: Transformer, folder: Path, *, run: Path) -> Path:
        del run
        steps = {} if self.max_steps is None else {"max_denoising_steps": self.max_steps}
        return save_model(
            copy_of(model, self.checkpoint.dtype),
            folder,
            source=self.checkpoint,
            generation={**self.checkpoint.generation, **steps},
            overwrite=True,
        )


def copy_of(model: Transformer, dtype: torch.dtype) -> Transformer:
    """A network of its own in the memory of the CPU."""
    copy = Transformer(model.config).to(dtype)
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a checkpoint. Raises TrainingError if it is another model's."""
    config, path = checkpoint.config, checkpoint.path
    tokenizer = read_tokenizer(path, config.vocab_size)
    if (end := control(tokenizer, "<eos>")) not in config.eos_ids:
        known = ", ".join(map(str, config.eos_ids)) or "nothing"
        raise TrainingError(
            f"the tokenizer of {path} ends a text with token {end}, the network with {known}: they "
            "belong to different models"
        )
    return tokenizer


def read_tokenizer(folder: Path, room: int) -> Tokenizer:
    """A folder's tokenizer. Raises TrainingError if a network with `room` tokens cannot use it."""
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer is None:
        raise TrainingError(f"{folder} has no tokenizer.json, and training needs its tokenizer")
    if tokenizer.vocab_size > room:
        raise TrainingError(
            f"the tokenizer of {folder} has {tokenizer.vocab_size:,} tokens, the network "
            f"{room:,}: they belong to different models"
        )
    return tokenizer
