"""A run that learns an adapter: PEFT's files at the end, nothing of the base in between."""

from pathlib import Path

import pytest
import torch
from tests.training.conftest import tiny_recipe
from tests.training.test_documents import pairs
from tests.training.test_loop import same_state
from tests.training.test_start import CONFIG

from canvaslm.adapter.config import DENSE
from canvaslm.adapter.files import read_adapter
from canvaslm.adapter.merge import merge_folder
from canvaslm.checkpoint.folder import open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.errors import ParameterError, TrainingError
from canvaslm.model.presets import pocket
from canvaslm.training.data.documents import Documents
from canvaslm.training.loop import train
from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW, Optimise
from canvaslm.training.part import Everything, LowRank
from canvaslm.training.recipe import Recipe, Watch
from canvaslm.training.rounded import Rounded
from canvaslm.training.start import Base, Start
from canvaslm.training.state import load_state
from canvaslm.training.trainer import Trainer

TARGETS = tuple(target for target in DENSE if target != "attention.v")
PART = LowRank(rank=2, alpha=4, targets=TARGETS)


@pytest.fixture
def base(tmp_path: Path, tokenizer_files: dict[str, bytes]) -> Path:
    return new_checkpoint(CONFIG, tmp_path / "base", extra_files=dict(tokenizer_files))


@pytest.fixture
def sixes(tmp_path: Path, tokenizer_files: dict[str, bytes]) -> Path:
    """A network whose matrices can be rounded."""
    config = pocket(hidden_size=64, layers=3, vocab_size=400, eos_ids=(1,))
    return new_checkpoint(config, tmp_path / "sixes", extra_files=dict(tokenizer_files))


def recipe(start: Start, folder: Path, **changes: object) -> Recipe:
    data = Documents(
        sources=(pairs(folder / "x.jsonl", 12),), documents=4, held_out=0.2, canvas_length=8
    )
    settings = {"start": start, "data": data, "optimise": AdamW(lr=0.02), "steps": 4, "part": PART}
    return tiny_recipe(**(settings | changes))


def test_it_ends_in_an_adapter_that_is_read_merged_and_served(base: Path, tmp_path: Path) -> None:
    import canvaslm

    before = (base / "model.safetensors").read_bytes()
    folder = train(recipe(Base(str(base)), tmp_path), tmp_path / "run")
    assert (base / "model.safetensors").read_bytes() == before
    assert {file.name for file in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    adapter = read_adapter(folder)
    assert (adapter.base, adapter.config) == (str(base), PART.config)
    assert all(bool(pair.b.any()) for pair in adapter.pairs.values())
    merge_folder(open_checkpoint(base), adapter, tmp_path / "merged")
    merged = canvaslm.load(tmp_path / "merged", device="cpu", dtype="float32")
    served = canvaslm.load(base, device="cpu", dtype="float32", adapter=folder)
    one, other = (lm.causal_logits([5, 9, 20, 31]) for lm in (merged, served))
    assert (one - other).norm() <= 0.02 * other.norm()  # the merged one is bfloat16


def test_the_state_holds_the_adapter_alone(base: Path, tmp_path: Path) -> None:
    chosen = recipe(Base(str(base)), tmp_path, steps=2, watch=Watch(every=1, batches=1))
    folder = train(chosen, tmp_path / "run")
    tensors, _ = load_state(tmp_path / "run")
    pairs_of = read_adapter(folder).pairs
    own = {f"{name}.{half}" for name in pairs_of for half in "ab"}
    held = {name for name in tensors if name.startswith(("model.", "average."))}
    assert held == {f"{place}.{name}" for place in ("model", "average") for name in own}
    largest = max(half.numel() for pair in pairs_of.values() for half in (pair.a, pair.b))
    assert max(tensor.numel() for tensor in tensors.values()) <= largest
    best, _ = load_state(tmp_path / "run", name="best.safetensors")
    assert best.keys() == own
    for name, pair in pairs_of.items():
        assert torch.equal(best[f"{name}.a"], pair.a)
        assert torch.equal(best[f"{name}.b"], pair.b)


@pytest.mark.parametrize("rounded", [False, True])
def test_a_stopped_run_is_resumed_bit_by_bit(
    base: Path, sixes: Path, tmp_path: Path, rounded: bool
) -> None:
    start = Rounded(str(sixes), quant="int8") if rounded else Base(str(base))
    targets = DENSE if rounded else TARGETS
    chosen = recipe(start, tmp_path, part=LowRank(rank=2, targets=targets))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    finished = train(chosen, whole)

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(chosen, stopped, report=stop)
    resumed = train(chosen, stopped, resume=True)
    assert same_state(whole, stopped)
    for file in finished.iterdir():
        assert file.read_bytes() == (resumed / file.name).read_bytes()


def test_another_rank_does_not_go_on_with_a_run(base: Path, tmp_path: Path) -> None:
    start = Base(str(base))
    train(recipe(start, tmp_path, steps=1), tmp_path / "run")
    other = recipe(start, tmp_path, part=LowRank(rank=3, targets=TARGETS))
    with pytest.raises(TrainingError, match="part differ"):
        train(other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("quant", ["int8", "int4", "mxfp4"])
def test_a_base_of_few_bits_stays_so_while_its_adapter_learns(
    sixes: Path, tmp_path: Path, quant: str
) -> None:
    start = Rounded(str(sixes), quant=quant)
    chosen = recipe(start, tmp_path, part=LowRank(rank=2), steps=24)
    trainer = Trainer(
        chosen, start.tokenizer(tmp_path, seed=0), device=torch.device("cpu"), way="compiled"
    )
    fixed = {
        name: tensor.clone()
        for name, tensor in trainer.model.named_parameters()
        if name not in trainer.parameters
    }
    losses = [trainer.advance()["loss"] for _ in range(24)]
    assert sum(losses[-6:]) < sum(losses[:6])
    assert all(torch.equal(dict(trainer.model.named_parameters())[n], t) for n, t in fixed.items())


def test_what_cannot_be_is_refused(base: Path, sixes: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="rank"):
        LowRank(rank=0)
    chosen = recipe(Rounded(str(sixes), quant="int8"), tmp_path, part=Everything())
    with pytest.raises(TrainingError, match="part=LowRank"):
        train(chosen, tmp_path / "run")
    with pytest.raises(TrainingError, match="is not quantised"):
        _ = Rounded(str(base)).checkpoint
    with pytest.raises(ParameterError, match=r"no attention\.v"):
        train(recipe(Base(str(base)), tmp_path, part=LowRank()), tmp_path / "run")


@pytest.mark.parametrize("optimise", [MuonAdamW(), AdamW(), Adafactor()])
def test_an_adapter_learns_by_any_optimiser(base: Path, tmp_path: Path, optimise: Optimise) -> None:
    """Muon has all of it: nothing of an adapter is left for the AdamW beside it."""
    chosen = recipe(Base(str(base)), tmp_path, optimise=optimise)
    tokenizer = chosen.start.tokenizer(tmp_path, seed=0)
    trainer = Trainer(chosen, tokenizer, device=torch.device("cpu"))
    before = {name: p.detach().clone() for name, p in trainer.parameters.items()}
    trainer.advance()
    trainer.advance()
    assert all(not torch.equal(p, before[name]) for name, p in trainer.parameters.items())
