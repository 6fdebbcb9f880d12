"""Held-out loss ends a run early; a number that is none ends it at once, with its batch kept."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import tiny_recipe
from tests.training.test_documents import pairs

from canvaslm.checkpoint.folder import open_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.errors import DivergedError, TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.documents import Documents
from canvaslm.training.diverged import BATCH
from canvaslm.training.loop import BEST, train
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.optimise.schedule import Constant
from canvaslm.training.recipe import Recipe, Watch
from canvaslm.training.state import load_state
from canvaslm.training.trainer import Trainer

CPU = torch.device("cpu")


def hopeless(folder: Path, **changes: object) -> Recipe:
    """Few examples learnt by heart: what is held out soon gets worse."""
    data = Documents(
        sources=(pairs(folder / "x.jsonl", 12),), documents=4, canvas_length=8, held_out=0.3
    )
    settings: dict[str, object] = {
        "data": data,
        "optimise": AdamW(lr=0.02),
        "schedule": Constant(),
        "ema": None,
        "steps": 60,
        "save_every": 50,
        "watch": Watch(every=1, patience=4),
    }
    return tiny_recipe(**(settings | changes))  # type: ignore[arg-type]


def test_a_run_ends_early_with_its_best_weights(folder: Path, tmp_path: Path) -> None:
    recipe = hopeless(tmp_path)
    model = train(recipe, folder, way="plain")
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [record["held_out/loss"] for record in records]
    assert len(losses) < recipe.steps
    assert losses.index(min(losses)) == len(losses) - 5
    best, step = load_state(folder, name=BEST)
    assert step == len(losses) - 4
    saved = load_model(open_checkpoint(model), device=CPU)
    assert torch.equal(saved.embedding, best["embedding"])
    with_more = train(recipe, folder, resume=True, way="plain")  # it is still at its end
    assert len((folder / "log.jsonl").read_text().splitlines()) == len(losses)
    assert with_more == model


def test_a_loss_that_is_no_number_stops_with_its_batch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, learn = hopeless(tmp_path), Trainer.learn

    def broken(self: Trainer, micro: object) -> dict[str, float]:
        found = learn(self, micro)  # type: ignore[arg-type]
        return found | {"canvas": float("inf")} if self.step == 3 else found

    monkeypatch.setattr(Trainer, "learn", broken)
    with pytest.raises(DivergedError, match=rf"step 3.*{BATCH}") as caught:
        train(recipe, folder, way="plain")
    assert isinstance(caught.value, TrainingError)
    kept = load_file(folder / BATCH)
    for name, value in caught.value.batch.items():
        assert torch.equal(kept[name], value)


def test_a_gradient_that_is_no_number_changes_nothing(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(), tokenizer, device=CPU)
    before = {name: tensor.clone() for name, tensor in trainer.state().items()}
    trainer.model.embedding.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(DivergedError, match="gradient"):
        trainer.advance()
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.state().items())


def test_tasks_are_measured_on_their_test_split(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(), tokenizer, device=CPU)
    one, two = trainer.measure(2), trainer.measure(2)
    assert one == two
    assert (trainer.best, trainer.stale) == (one["held_out/loss"], 1)


def test_measuring_without_anything_held_out_is_refused(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    data = Documents(sources=(pairs(tmp_path / "x.jsonl", 9),), canvas_length=8)
    trainer = Trainer(tiny_recipe(data=data), tokenizer, device=CPU)
    with pytest.raises(TrainingError, match="nothing is held out"):
        trainer.measure(1)


def test_a_run_goes_on_with_the_data_it_began_with(folder: Path, tmp_path: Path) -> None:
    recipe = hopeless(tmp_path, steps=2)
    train(recipe, folder, way="plain")
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write('{"prompt": "more?", "answer": "yes"}\n')
    with pytest.raises(TrainingError, match="data_read differ"):
        train(recipe, folder, resume=True, way="plain")
