"""A training run in its folder: started, logged, saved; killed at any moment it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from canvaslm.engine.device import choose_device
from canvaslm.errors import DivergedError, TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.board import Board, NoBoard, TensorBoard
from canvaslm.training.compiled import keep_memory
from canvaslm.training.diverged import keep_batch
from canvaslm.training.files import append_line, rewind, write_text
from canvaslm.training.group import Alone, Group
from canvaslm.training.recipe import Recipe, describe
from canvaslm.training.state import STATE, load_state, save_state
from canvaslm.training.trainer import Record, Trainer
from canvaslm.training.way import Way, quickest

Report = Callable[[Record], None]
State = tuple[dict[str, Tensor], int]
LOG, RECIPE, BEST = "log.jsonl", "recipe.json", "best.safetensors"
MAY_CHANGE = ("steps", "save_every")


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    until: int | None = None,
    export: bool = False,
    device: str = "cpu",
    way: Way | None = None,
    report: Report | None = None,
    tensorboard: bool = False,
    group: Group | None = None,
) -> Path:
    """Run `recipe` in folder `out`; returns the folder `out/model` that it ends in.

    The folder holds `recipe.json`, one line a step in `log.jsonl`, every `save_every` steps
    `state.safetensors`, and the vocabulary if the run learns one. Interrupted, it keeps the last
    saved state, and Ctrl-C or SIGTERM saves once more; `resume` goes on bit by bit as if nothing
    had happened. A resumed run may have another number of `steps`, which moves the fall of the
    learning rate. `until` stops after so many steps, on the schedule of all, and returns `out`,
    with the state of these steps and no model of them; with `export` it writes and returns one:
    what the run would come to if it ended there. `way` None is the quickest that there is. Raises
    TrainingError, StorageError, and ParameterError for a device that is not there; DivergedError
    after saving the batch.
    """
    if until is not None and until < 1:
        raise TrainingError(f"until must be at least 1 step, got {until}")
    if export and until is None:
        raise TrainingError("export=True needs until, the steps after which the model is written")
    together = group or Alone()
    with together.together():
        place, _ = choose_device(together.place(device))
        saved, tokenizer = begin(recipe, out, resume=resume, group=together)
        keep_memory()
        chosen = way or quickest(recipe, place, together)
        trainer = Trainer(recipe, tokenizer, device=place, group=together, way=chosen)
        start(trainer, out, saved)
        log = tensorboard and together.leads
        board = TensorBoard(out / "tensorboard", step=trainer.step) if log else NoBoard()
        try:
            run(trainer, out, report or (lambda record: None), board, until=until)
        except DivergedError as error:
            raise keep_batch(error, out) from error
        finally:
            board.close()
        if trainer.step < recipe.steps and not tired(trainer) and not export:
            return out
        return write_model(trainer, tokenizer, out)


def begin(
    recipe: Recipe, out: Path, *, resume: bool, group: Group
) -> tuple[State | None, Tokenizer]:
    """The saved state, if the run goes on, and the vocabulary, which one process may learn."""
    with group.in_turn():
        check_folder(out, resume=resume)
        saved = load_state(out) if resume else None
        return saved, recipe.start.tokenizer(out, seed=recipe.seed)


def start(trainer: Trainer, out: Path, saved: State | None) -> None:
    """Take over a saved state, and write what the run is."""
    described = describe(trainer.recipe) | {"data_read": trainer.feed.fingerprint}
    if saved is not None:
        check_recipe(described, out / RECIPE)
        trainer.restore(*saved)
    with trainer.group.in_turn():
        if trainer.group.leads:
            write_text(out / RECIPE, json.dumps(described, indent=2))
            rewind(out / LOG, trainer.step)


def check_folder(out: Path, *, resume: bool) -> None:
    """Raise TrainingError unless a run is there to be resumed, or none is in the way."""
    started = (out / STATE).exists()
    if resume != started:
        raise TrainingError(
            f"{out} already holds a run: go on with --resume, or choose another folder"
            if started
            else f"{out} holds no run to resume: start one without --resume"
        )


def check_recipe(now: dict[str, object], path: Path) -> None:
    """Raise TrainingError if a run goes on with another recipe or data than it began with."""
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path} is no recipe: {error}; start in another folder") from error
    changed = [key for key in now if now[key] != before.get(key) and key not in MAY_CHANGE]
    if changed:
        raise TrainingError(
            f"the run was started with another recipe, see {path}: {', '.join(changed)} differ. "
            "Resume with the same options and data, or start in another folder"
        )


def run(
    trainer: Trainer, out: Path, report: Report, board: Board, *, until: int | None = None
) -> None:
    """Advance to the last step or an early end, logging, measuring and saving on the way."""
    leads, last = trainer.group.leads, min(trainer.recipe.steps, until or trainer.recipe.steps)
    try:
        watch(trainer, out)  # where the run was stopped between a step and its measurement
        while trainer.step < last and not tired(trainer):
            record = trainer.advance() | watch(trainer, out)
            if leads:
                append_line(out / LOG, json.dumps(record))
                board.write(record)
                report(record)
            ending = trainer.step == last or tired(trainer)
            if trainer.step % trainer.recipe.save_every == 0 or ending:
                save(trainer, out)
            if trainer.group.stopping():
                raise KeyboardInterrupt
    except (KeyboardInterrupt, SystemExit):  # the command line makes the latter of SIGTERM
        save(trainer, out)
        raise


def save(trainer: Trainer, out: Path) -> None:
    """All processes give their shares; the leading one writes them."""
    state = trainer.state()
    with trainer.group.in_turn():
        if trainer.group.leads:
            save_state(out, state, trainer.step)


def watch(trainer: Trainer, out: Path) -> Record:
    """Measure held-out data if it is time to, and keep the best weights."""
    recipe = trainer.recipe
    if recipe.watch is None or trainer.measured == trainer.step:
        return {}
    if trainer.step % recipe.watch.every and not at_end(trainer):
        return {}
    record = trainer.measure(recipe.watch.batches)
    if trainer.stale == 0:
        weights = trainer.gather(trainer.weights())
        with trainer.group.in_turn():
            if trainer.group.leads:
                save_state(out, weights, trainer.step, name=BEST)
    return record


def at_end(trainer: Trainer) -> bool:
    return trainer.step == trainer.recipe.steps


def tired(trainer: Trainer) -> bool:
    """Whether the held-out loss has not fallen for as long as the recipe allows."""
    watch = trainer.recipe.watch
    return watch is not None and watch.patience is not None and trainer.stale >= watch.patience


def write_model(trainer: Trainer, tokenizer: Tokenizer, out: Path) -> Path:
    """Write what the run came to: the best weights measured, else the averaged or last ones."""
    recipe, folder = trainer.recipe, out / "model"
    weights = exported(trainer, out)
    with trainer.group.in_turn():
        if trainer.group.leads and trainer.group.sharded:
            model = recipe.start.network(tokenizer, seed=recipe.seed)
            for name, parameter in recipe.part.prepare(model, seed=recipe.seed).items():
                parameter.data = weights[name].to(parameter.dtype)
            recipe.part.export(model, recipe.start, folder, run=out)
        elif trainer.group.leads:
            with trainer.showing(weights):
                recipe.part.export(trainer.model, recipe.start, folder, run=out)
    return folder


def exported(trainer: Trainer, out: Path) -> dict[str, Tensor]:
    weights = trainer.gather(trainer.weights())
    if trainer.recipe.watch is not None and (out / BEST).exists() and trainer.group.leads:
        best, _ = load_state(out, name=BEST)
        return {name: best[name].to(tensor.device) for name, tensor in weights.items()}
    return weights
