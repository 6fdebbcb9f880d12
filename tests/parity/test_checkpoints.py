"""What we write, transformers loads with equal logits, and the other way round."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.parity.oracle import VOCABULARY, Request, ask_oracle, oracle_model, save_oracle
from tests.parity.ours import ask_ours
from tests.parity.test_network import assert_equal
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion
from transformers.utils import logging

from canvaslm.checkpoint import open_checkpoint
from canvaslm.checkpoint.describe import describe_config
from canvaslm.checkpoint.names import is_encode_scalar, original_of
from canvaslm.checkpoint.vision import RELEASED_VISION
from canvaslm.engine.create import new_checkpoint, new_text, new_vision
from canvaslm.engine.load import load_model, save_model
from canvaslm.model.presets import preset, reduced

CPU = torch.device("cpu")
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_global_key_value_heads": 1,
    "sliding_window": 4,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 8,
    "final_logit_softcapping": 5.0,
    "max_position_embeddings": 128,
}


def request(vocabulary: int) -> Request:
    generator = torch.Generator().manual_seed(9)
    prompts = [torch.randint(vocabulary, (n,), generator=generator).tolist() for n in (7, 3)]
    canvas = torch.randint(vocabulary, (2, 5), generator=generator)
    return Request(prompts, 2, canvas, torch.randn(2, 5, vocabulary, generator=generator))


def opened_by_transformers(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Its model, having found every tensor it has and no other."""
    logging.disable_progress_bar()
    model, report = DiffusionGemmaForBlockDiffusion.from_pretrained(
        folder, dtype=dtype, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model.set_experts_implementation("eager")
    return model.eval()


def raw(folder: Path) -> dict[str, torch.Tensor]:
    return {n: t for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}


@pytest.mark.parametrize("shard", ["50GB", "20KB"])
def test_from_transformers_through_us_and_back(tmp_path: Path, shard: str) -> None:
    """Single or sharded, every tensor is the same afterwards, the image encoder's included."""
    oracle = oracle_model(TEXT, canvas_length=6)
    theirs = save_oracle(oracle, tmp_path / "theirs", max_shard_size=shard)
    checkpoint = open_checkpoint(theirs)
    model = load_model(checkpoint, device=CPU)
    ours = save_model(model, tmp_path / "ours", source=checkpoint)
    before, after = raw(theirs), raw(ours)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    answer = ask_oracle(oracle, request(VOCABULARY))
    assert_equal(ask_ours(model, request(VOCABULARY)), answer, largest=1e-4)
    assert_equal(ask_oracle(opened_by_transformers(ours), request(VOCABULARY)), answer, largest=0)


def test_the_release_has_exactly_the_oracles_tensors() -> None:
    config = preset("26b-a4b")
    options: dict[str, Any] = {"seed": 0, "dtype": torch.bfloat16}
    ours = {tensor.name: tensor.shape for tensor in new_text(config, **options)}
    ours |= {t.name: t.shape for t in new_vision(RELEASED_VISION, config.hidden_size, **options)}
    described = describe_config(config, base={"vision_config": RELEASED_VISION}, dtype="bfloat16")
    with torch.device("meta"):
        oracle = DiffusionGemmaForBlockDiffusion(DiffusionGemmaConfig(**described))
    theirs = {name: tuple(tensor.shape) for name, tensor in oracle.state_dict().items()}
    tied = [name for name in theirs if original_of(name) in ours and not is_encode_scalar(name)]
    assert ours == {name: shape for name, shape in theirs.items() if name not in tied}
    assert all(theirs[name] == ours[original_of(name) or ""] for name in tied)


def test_both_spellings_of_the_geometry_are_the_same_model(tmp_path: Path) -> None:
    """One library writes `per_layer_config`, the release has `global_head_dim`; both are read."""
    folder = save_oracle(oracle_model(TEXT, canvas_length=6), tmp_path / "model")
    written = open_checkpoint(folder)
    assert "per_layer_config" in written.raw_config["text_config"]
    released = json.loads((folder / "config.json").read_text())
    del released["text_config"]["per_layer_config"]
    released["text_config"] |= {"global_head_dim": 16, "num_global_key_value_heads": 1}
    (folder / "config.json").write_text(json.dumps(released))
    assert open_checkpoint(folder).config == written.config


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transformers_opens_what_we_make(tmp_path: Path, dtype: torch.dtype) -> None:
    config = reduced(preset("pocket"), layers=3, scale=0.4)
    folder = new_checkpoint(config, tmp_path / "new", seed=1, dtype=dtype)
    oracle = opened_by_transformers(folder)
    settings = oracle.generation_config
    assert settings.max_denoising_steps == 48
    assert settings.sampler_config.entropy_bound == 0.1
    assert oracle.config.canvas_length == 256
    model = load_model(open_checkpoint(folder), device=CPU, dtype=torch.float32)
    asked = request(config.vocab_size)
    assert_equal(ask_ours(model, asked), ask_oracle(oracle, asked), largest=1e-4)


def test_transformers_opens_what_we_save_without_a_source(tmp_path: Path) -> None:
    folder = new_checkpoint("pocket", tmp_path / "new", dtype=torch.float32)
    model = load_model(open_checkpoint(folder), device=CPU)
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            layer.denoise_scalar.fill_(0.5 + 0.1 * index)
            layer.encode_scalar.fill_(1.5 - 0.1 * index)
    saved = save_model(model, tmp_path / "saved")
    asked = request(model.config.vocab_size)
    answer = ask_oracle(opened_by_transformers(saved), asked)
    assert_equal(ask_ours(model, asked), answer, largest=1e-4)
