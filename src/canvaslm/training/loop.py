"""A training run in its folder: started, logged, saved; killed at any moment it can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from canvaslm.engine.device import choose_device
from canvaslm.engine.load import save_model
from canvaslm.errors import StorageError, TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.compiled import can_compile, keep_memory, speed_up
from canvaslm.training.pocket import vocabulary_texts
from canvaslm.training.recipe import Recipe
from canvaslm.training.state import STATE, load_state, save_state
from canvaslm.training.trainer import Record, Trainer
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

Report = Callable[[Record], None]
MAY_CHANGE = ("steps", "save_every")


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    compiled: bool | None = None,
    report: Report | None = None,
) -> Path:
    """Run `recipe` in folder `out`; returns the checkpoint folder `out/model` it ends in.

    The folder holds the vocabulary, `recipe.json`, one line a step in `log.jsonl`, and every
    `save_every` steps `state.safetensors`. Interrupted, it keeps the last saved state, and Ctrl-C
    saves once more; `resume` goes on bit by bit as if nothing had happened. A resumed run may have
    another number of `steps`, which moves the fall of the learning rate. `compiled` None compiles
    where that is possible. Raises TrainingError, StorageError, and ParameterError for a device that
    is not there.
    """
    started = (out / STATE).exists()
    if resume != started:
        raise TrainingError(
            f"{out} already holds a run: go on with --resume, or choose another folder"
            if started
            else f"{out} holds no run to resume: start one without --resume"
        )
    if resume:
        check_recipe(recipe, out / "recipe.json")
    place, _ = choose_device(device)
    saved = load_state(out) if resume else None
    keep_memory()
    trainer = Trainer(recipe, vocabulary(recipe, out), device=place)
    if saved is not None:
        trainer.restore(*saved)
    write_text(out / "recipe.json", json.dumps(asdict(recipe), indent=2))
    if can_compile() if compiled is None else compiled:
        speed_up(trainer.model)
    run(trainer, out, report or (lambda record: None))
    return export(trainer, out)


def check_recipe(recipe: Recipe, path: Path) -> None:
    """Raise TrainingError if a run goes on with another recipe than it was started with."""
    if not path.exists():
        return
    before, now = json.loads(path.read_text()), json.loads(json.dumps(asdict(recipe)))
    changed = [key for key in now if now[key] != before.get(key) and key not in MAY_CHANGE]
    if changed:
        raise TrainingError(
            f"the run was started with another recipe, see {path}: {', '.join(changed)} differ. "
            "Resume with the same options, or start in another folder"
        )


def run(trainer: Trainer, out: Path, report: Report) -> None:
    """Advance to the last step, logging and saving on the way."""
    recipe = trainer.recipe
    try:
        while trainer.step < recipe.steps:
            record = trainer.advance()
            append_line(out / "log.jsonl", json.dumps(record))
            report(record)
            if trainer.step % recipe.save_every == 0 or trainer.step == recipe.steps:
                save_state(out, trainer.state(), trainer.step)
    except KeyboardInterrupt:
        save_state(out, trainer.state(), trainer.step)
        raise


def vocabulary(recipe: Recipe, out: Path) -> Tokenizer:
    """The run's tokenizer: read from its folder, learnt and written there the first time."""
    if not (out / "tokenizer.json").exists():
        learnt = train_tokenizer(vocabulary_texts(recipe), vocab_size=recipe.vocab_size)
        # tokenizer.json comes last: where it stands, the others do.
        for name, content in reversed(list(tokenizer_files(learnt).items())):
            write_text(out / name, content.decode())
    tokenizer = Tokenizer.from_folder(out)
    assert tokenizer is not None
    return tokenizer


def export(trainer: Trainer, out: Path) -> Path:
    """Write the averaged weights as a checkpoint folder with the published generation settings."""
    files = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    return save_model(
        trainer.averaged(),
        out / "model",
        extra_files={name: (out / name).read_bytes() for name in files},
        overwrite=True,
    )


def write_text(path: Path, text: str) -> None:
    """Write a small file, all of it or nothing. Raises StorageError."""
    fresh = path.with_name(f"{path.name}.new")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)


def append_line(path: Path, line: str) -> None:
    """Add a line to a log. Raises StorageError."""
    with storing(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what the system says about the disk into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error}; free some space or choose another folder"
        ) from error
