"""An adapter means the same here and in `peft` over `transformers`, in both directions."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests.adapter.conftest import only, trained
from tests.parity.oracle import Request, ask_oracle, oracle_model, save_oracle
from tests.parity.ours import ask_ours
from torch import Tensor

from canvaslm.adapter.adapter import Adapter
from canvaslm.adapter.config import DENSE
from canvaslm.adapter.files import read_adapter, save_adapter
from canvaslm.adapter.wear import wearing
from canvaslm.checkpoint import open_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.errors import TensorError
from canvaslm.model.transformer import Transformer

pytestmark = pytest.mark.filterwarnings(  # peft 0.21 asks transformers 5.2x by an old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

TEXT = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_global_key_value_heads": 1,
    "sliding_window": 5,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 8,
    "max_position_embeddings": 512,
}
REQUEST = Request(
    prompts=[[3, 7, 30, 21, 5], [1, 2, 9, 33, 4, 4, 18, 25]],
    cut=2,
    canvas_BL=torch.arange(18).view(2, 9) * 2,
    previous_BLV=torch.randn(2, 9, 40, generator=torch.Generator().manual_seed(1)),
)


@pytest.fixture
def oracle() -> Any:
    return oracle_model(TEXT, canvas_length=9)


@pytest.fixture
def model(oracle: Any, tmp_path: Path) -> Transformer:
    checkpoint = open_checkpoint(save_oracle(oracle, tmp_path / "base"))
    return load_model(checkpoint, device=torch.device("cpu"))


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def assert_same_answer(model: Transformer, adapter: Adapter, oracle: Any) -> None:
    plain = ask_ours(model, REQUEST)
    ours, theirs = ask_ours(wearing(model, adapter), REQUEST), ask_oracle(oracle, REQUEST)
    assert_equal(ours.canvas, theirs.canvas)
    assert (ours.canvas - plain.canvas).norm() > 0.05 * plain.canvas.norm()
    for mine, other in zip(ours.causal, theirs.causal, strict=True):
        assert_equal(mine, other)


@pytest.mark.parametrize("rslora", [False, True])
def test_peft_loads_what_is_saved_here(
    model: Transformer, oracle: Any, tmp_path: Path, rslora: bool
) -> None:
    adapter = trained(model.config, rslora=rslora)
    folder = save_adapter(adapter, tmp_path / "adapter")
    wrapped = PeftModel.from_pretrained(oracle, folder)
    assert_same_answer(model, adapter, wrapped.base_model.model)


def test_peft_bends_what_the_adapter_bends_and_no_more(
    model: Transformer, oracle: Any, tmp_path: Path
) -> None:
    whole = only(trained(model.config), "attention.q", "mlp.down")
    pairs = {name: pair for name, pair in whole.pairs.items() if not name.startswith("layers.1.")}
    adapter = Adapter(config=whole.config, pairs=pairs)
    PeftModel.from_pretrained(oracle, save_adapter(adapter, tmp_path / "adapter"))
    assert_same_answer(model, adapter, oracle)
    assert sum("lora_A" in name for name, _ in oracle.named_parameters()) == 2 * len(pairs)


PATTERN = (
    r"model\.(encoder\.language_model|decoder)\.layers\.\d+\."
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
)


def adapted_oracle(oracle: Any, *, tie: bool) -> Any:
    """PEFT's own adapters, with numbers that matter."""
    config = LoraConfig(r=4, lora_alpha=6, target_modules=PATTERN, init_lora_weights=False)
    wrapped = get_peft_model(oracle, config)
    state = wrapped.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            if tie and "lora_" in name and ".decoder." in name:
                twin = name.replace(".decoder.", ".encoder.language_model.")
                tensor.copy_(state[twin])
    return wrapped


def test_what_peft_saves_is_read_here(model: Transformer, oracle: Any, tmp_path: Path) -> None:
    wrapped = adapted_oracle(oracle, tie=True)
    wrapped.save_pretrained(tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter")
    assert adapter.config.targets == DENSE
    assert adapter.config.scale == 1.5
    assert_same_answer(model, adapter, wrapped.base_model.model)


def test_adapters_that_differ_on_tied_weights_are_not_mixed(oracle: Any, tmp_path: Path) -> None:
    wrapped = adapted_oracle(oracle, tie=False)
    wrapped.save_pretrained(tmp_path)
    with pytest.raises(TensorError, match=re.escape('sides="decoder"')):
        read_adapter(tmp_path)
    state = wrapped.state_dict()
    for sides, place in (("decoder", "decoder"), ("encoder", "encoder.language_model")):
        key = f"base_model.model.model.{place}.layers.0.mlp.up_proj.lora_B.default.weight"
        found = read_adapter(tmp_path, sides=sides)  # type: ignore[arg-type]
        assert torch.equal(found.pairs["layers.0.mlp.up"].b, state[key])
