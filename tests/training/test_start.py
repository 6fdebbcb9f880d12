"""A run starts from any checkpoint in floating point, and ends in one of the same kind."""

import json
import random
from pathlib import Path

import pytest
import torch
from tests.training.conftest import tiny_recipe
from tests.training.test_documents import pairs

from canvaslm.checkpoint.folder import open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.errors import TrainingError
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.presets import pocket
from canvaslm.training.data.documents import Documents
from canvaslm.training.loop import train
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.rounded import Rounded
from canvaslm.training.start import Base, Scratch
from canvaslm.training.vocabulary import train_tokenizer

LAYER = LayerConfig(heads=2, kv_heads=1, head_dim=8, window=None, rope=RopeConfig(theta=1e4))
CONFIG = ModelConfig(
    vocab_size=400,
    hidden_size=16,
    intermediate_size=16,
    layers=(LAYER,),
    experts=ExpertsConfig(count=2, top_k=1, intermediate_size=8),
    canvas_length=8,
    max_positions=512,
    eos_ids=(1,),
)


@pytest.fixture
def base(tmp_path: Path, tokenizer_files: dict[str, bytes]) -> Path:
    """A checkpoint of random weights in bfloat16."""
    return new_checkpoint(CONFIG, tmp_path / "base", extra_files=dict(tokenizer_files))


def recipe(base: Path, folder: Path, **changes: object) -> object:
    data = Documents(sources=(pairs(folder / "x.jsonl", 12),), documents=4)
    settings = {"start": Base(str(base)), "data": data, "optimise": AdamW(lr=0.02), "steps": 4}
    return tiny_recipe(**(settings | changes))  # type: ignore[arg-type]


def test_a_checkpoint_learns_and_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    import canvaslm

    before = (base / "model.safetensors").read_bytes()
    model = train(recipe(base, tmp_path), tmp_path / "run", way="plain")  # type: ignore[arg-type]
    assert (base / "model.safetensors").read_bytes() == before
    old, new = open_checkpoint(base), open_checkpoint(model)
    assert new.dtype == old.dtype == torch.bfloat16
    assert new.config == old.config
    assert new.tensors.keys() == old.tensors.keys()
    cpu = torch.device("cpu")
    moved = load_model(new, device=cpu).embedding != load_model(old, device=cpu).embedding
    assert bool(moved.any())
    params = canvaslm.Params(max_tokens=4, max_steps=2, seed=1)
    assert canvaslm.load(model).generate("Is it?", params=params).usage.completion_tokens <= 4


def test_layer_scalars_are_kept(base: Path, tmp_path: Path) -> None:
    start = Base(str(base))
    tokenizer = start.tokenizer(tmp_path, seed=0)
    network = start.network(tokenizer, seed=0)
    network.layers[0].denoise_scalar.fill_(0.5)
    saved = start.save(network, tmp_path / "saved", run=tmp_path)
    again = load_model(open_checkpoint(saved), device=torch.device("cpu"))
    assert float(again.layers[0].denoise_scalar) == 0.5


def test_a_stopped_fine_tune_is_resumed_bit_by_bit(base: Path, tmp_path: Path) -> None:
    from tests.training.test_loop import same_state

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    chosen = recipe(base, tmp_path)
    train(chosen, whole, way="plain")  # type: ignore[arg-type]

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(chosen, stopped, way="plain", report=stop)  # type: ignore[arg-type]
    train(chosen, stopped, resume=True, way="plain")  # type: ignore[arg-type]
    assert same_state(whole, stopped)


def test_a_tokenizer_that_does_not_fit_is_refused(base: Path, tmp_path: Path) -> None:
    letters = random.Random(0)
    words = ["".join(letters.choices("abcdefghij", k=6)) for _ in range(2000)]
    large = train_tokenizer(words * 2, vocab_size=900)
    (base / "tokenizer.json").write_text(large.to_str())
    with pytest.raises(TrainingError, match="900 tokens, the network 400"):
        train(recipe(base, tmp_path), tmp_path / "run")  # type: ignore[arg-type]
    (base / "tokenizer.json").unlink()
    with pytest.raises(TrainingError, match=r"no tokenizer\.json"):
        train(recipe(base, tmp_path), tmp_path / "run")  # type: ignore[arg-type]


def test_a_tokenizer_with_other_ends_is_refused(base: Path, tmp_path: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"eos_token_id": [7, 9]}))
    for start in (Base(str(base)), Rounded(str(base), quant="int8")):
        said = r"ends a text with token 1, the network with 7, 9: they belong to different models"
        with pytest.raises(TrainingError, match=said):
            start.tokenizer(tmp_path, seed=0)


def test_a_quantised_checkpoint_cannot_learn(tmp_path: Path) -> None:
    folder = new_checkpoint(pocket(hidden_size=64, layers=3), tmp_path / "q", quant="int8")
    with pytest.raises(TrainingError, match="is quantised"):
        _ = Base(str(folder)).checkpoint


def test_a_new_model_may_take_the_vocabulary_of_another(base: Path, tmp_path: Path) -> None:
    start = Scratch(hidden_size=64, num_layers=3, vocab_size=400, vocabulary=str(base))
    tokenizer = start.tokenizer(tmp_path / "run", seed=0)
    assert (tmp_path / "run" / "tokenizer.json").is_file()
    assert start.network(tokenizer, seed=0).config.vocab_size == 400
    with pytest.raises(TrainingError, match=r"holds no tokenizer\.json"):
        Scratch(vocabulary=str(tmp_path)).tokenizer(tmp_path / "other", seed=0)
