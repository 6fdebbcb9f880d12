"""The mark of a base: the same for its copies in any type, another after training."""

import warnings
from pathlib import Path

import pytest
import torch
from tests.adapter.conftest import trained
from tests.model.conftest import SMALL

from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.files import read_adapter, save_adapter
from canvaslm.adapter.mark import mark_of, mark_of_checkpoint, warn_of_another_base
from canvaslm.adapter.merge import merge_folder
from canvaslm.adapter.wear import adapter_of, attach
from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model, save_model
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import Scheme


@pytest.fixture
def source(tmp_path: Path) -> Checkpoint:
    made = new_checkpoint(SMALL, tmp_path / "plain", dtype=torch.float32)
    model = network(open_checkpoint(made))
    for name, tensor in model.state_dict().items():
        if tensor.dim() == 1:
            tensor.copy_(torch.linspace(0.1, 1.3, len(tensor)) + len(name))
    return open_checkpoint(save_model(model, tmp_path / "base"))


def network(source: Checkpoint) -> Transformer:
    model = load_model(source, device=torch.device("cpu"), dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.clone()
    return model.requires_grad_(False)


def test_it_is_that_of_the_network_in_any_type_and_of_few_bits(
    source: Checkpoint, tmp_path: Path
) -> None:
    model = network(source)
    mark = mark_of_checkpoint(source)
    assert mark == mark_of(source.config, model.state_dict())
    narrow = open_checkpoint(save_model(model.bfloat16(), tmp_path / "narrow"))
    quantise_folder(source, tmp_path / "few", Scheme(experts="int8"))
    few = open_checkpoint(tmp_path / "few")
    merged = open_checkpoint(merge_folder(source, trained(SMALL), tmp_path / "merged"))
    assert [mark_of_checkpoint(one) for one in (narrow, few, merged)] == [mark] * 3


@pytest.mark.parametrize("name", ["layers.1.mlp_in.weight", "embedding"])
def test_one_number_makes_another(source: Checkpoint, tmp_path: Path, name: str) -> None:
    model = network(source)
    model.state_dict()[name].view(-1)[3] += 0.5
    other = open_checkpoint(save_model(model, tmp_path / "other"))
    assert mark_of_checkpoint(other) != mark_of_checkpoint(source)


def test_an_embedding_of_few_bits_has_none(source: Checkpoint, tmp_path: Path) -> None:
    quantise_folder(source, tmp_path / "few", Scheme(experts="int8", embedding="int8"))
    assert mark_of_checkpoint(open_checkpoint(tmp_path / "few")) is None


def test_it_goes_with_the_adapter_and_is_compared(source: Checkpoint, tmp_path: Path) -> None:
    model, config = network(source), AdapterConfig(rank=2, targets=("mlp.up",))
    attach(model, config, seed=0)
    made = adapter_of(model, config, base="a/name")
    adapter = read_adapter(save_adapter(made, tmp_path / "adapter"))
    assert adapter.mark == made.mark == mark_of_checkpoint(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_another_base(adapter, source)  # though it has another name
    plain = open_checkpoint(tmp_path / "plain")
    with pytest.warns(
        UserWarning, match=r"trained on a/name, and the weights in .*plain are other"
    ):
        warn_of_another_base(adapter, plain)
