"""Folders of few bits: their layouts, ours and others', and what is refused by name."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from canvaslm.checkpoint import open_checkpoint
from canvaslm.checkpoint.quantised import QuantisedTensors
from canvaslm.checkpoint.quantised_config import declare, group
from canvaslm.checkpoint.quantised_layouts import Loose, block_length, encode, encoded_like
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.quantised.read import read_state
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.errors import CheckpointError, ConfigError, TensorError
from canvaslm.kernels.weight import Weight
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.quant.rounding import round_matrix
from canvaslm.quant.scheme import Scheme

ROPE = RopeConfig(theta=1e4)
SMALL = ModelConfig(
    vocab_size=96,
    hidden_size=128,
    intermediate_size=64,
    layers=(
        LayerConfig(heads=2, kv_heads=1, head_dim=32, window=4, rope=ROPE),
        LayerConfig(heads=2, kv_heads=1, head_dim=32, window=None, rope=ROPE),
    ),
    experts=ExpertsConfig(count=3, top_k=2, intermediate_size=64),
    canvas_length=4,
    max_positions=32,
)
Q = "model.decoder.layers.0.self_attn.q_proj"
EXPERT = "model.decoder.layers.1.experts.2.down_proj"
Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounded")
    source = open_checkpoint(new_checkpoint(SMALL, folder / "source", seed=5))
    quantise_folder(source, folder / "int4", Scheme())
    return folder / "int4"


def changed(rounded: Path, folder: Path, change: Change, **config: Any) -> Path:
    """A copy of the folder with other tensors."""
    folder.mkdir()
    raw = json.loads((rounded / "config.json").read_text())
    raw["quantization_config"] |= config
    (folder / "config.json").write_text(json.dumps(raw))
    tensors = {n: t.clone() for n, t in load_file(rounded / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def read(folder: Path, module: str = EXPERT, shape: tuple[int, int] = (128, 64)) -> Any:
    return QuantisedTensors(open_checkpoint(folder)).matrix(module, shape)


def test_weights_are_views_of_the_file_and_begin_aligned(rounded: Path) -> None:
    checkpoint = open_checkpoint(rounded)
    file = checkpoint.tensors[f"{Q}.weight"].file
    first, last = file.mapped.data_ptr(), file.mapped.data_ptr() + file.length
    for weight in (read(rounded), read(rounded, Q, (64, 128))):
        assert weight.format in ("int4", "int8")
    tensors = QuantisedTensors(checkpoint)
    weight = tensors.matrix(EXPERT, (128, 64))
    assert isinstance(weight, Weight)
    assert weight.scale is not None
    assert all(first <= t.data_ptr() < last for t in (weight.data, weight.scale))
    assert weight.data.data_ptr() % 64 == 0
    assert all(t.start % 64 == 0 for t in checkpoint.tensors.values() if t.size % 64 == 0)


@pytest.mark.parametrize(("format", "per"), [("int8", None), ("int4", 64), ("mxfp4", 32)])
def test_what_is_promised_is_what_is_encoded(format: Any, per: int | None) -> None:
    weight, _ = round_matrix(torch.randn(6, 128), format, group=per)
    made, promised = encode(weight), encoded_like(format, (6, 128), per)
    assert {n: (t.dtype, t.shape) for n, t in made.items()} == {
        n: (t.dtype, t.shape) for n, t in promised.items()
    }


def test_groups_of_128_and_whole_rows_are_read_as_64s(rounded: Path, tmp_path: Path) -> None:
    module, shape = "model.decoder.layers.0.experts.0.gate_proj", (64, 128)
    scale = torch.rand(64, 1).half() + 0.5

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{module}.weight_scale"] = scale

    folder = changed(rounded, tmp_path / "wide", change)
    before, after = read(rounded, module, shape), read(folder, module, shape)
    assert after.group == 64
    assert torch.equal(after.data, before.data)
    assert torch.equal(after.scale, scale.bfloat16().expand(64, 2))


def test_scales_of_other_types_and_one_for_all(rounded: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{Q}.weight_scale"] = torch.tensor([0.5], dtype=torch.float64)

    weight = read(changed(rounded, tmp_path / "one", change), Q, (64, 128))
    assert torch.equal(weight.scale, torch.full((64,), 0.5))


def test_eight_bits_packed_are_int8(rounded: Path, tmp_path: Path) -> None:
    codes = torch.randint(-128, 128, (64, 128), dtype=torch.int8)

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{Q}.weight_packed"] = (codes.int() + 128).byte().view(torch.int32)
        del tensors[f"{Q}.weight"]

    weight = read(changed(rounded, tmp_path / "packed", change), Q, (64, 128))
    assert weight.format == "int8"
    assert torch.equal(weight.data, codes)


@pytest.mark.parametrize("scale", [torch.rand(64, 1), torch.rand(1), torch.rand(2, 4)])
def test_float8_is_read_as_its_numbers(rounded: Path, tmp_path: Path, scale: Tensor) -> None:
    values = torch.randn(64, 128).to(torch.float8_e4m3fn)

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{Q}.weight"], tensors[f"{Q}.weight_scale"] = values, scale

    found = read(changed(rounded, tmp_path / "fp8", change), Q, (64, 128))
    assert isinstance(found, Loose)
    rows, columns = (64 // scale.shape[0], 128 // scale.shape[1]) if scale.ndim == 2 else (64, 128)
    grid = scale.view(-1, scale.shape[-1]).repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    assert torch.equal(found.values, values.float() * grid)


@pytest.mark.parametrize(
    ("length", "blocks", "block"),
    [
        (704, 6, 128),
        (2112, 17, 128),
        (256, 2, 128),
        (64, 64, 1),
        (96, 3, 32),
        (90, 9, 10),
        (64, 1, 64),
    ],
)
def test_the_last_block_of_a_float8_matrix_may_be_cut_short(
    length: int, blocks: int, block: int
) -> None:
    assert block_length(length, blocks) == block


@pytest.mark.parametrize("fits", [True, False])
def test_float8_scales_of_blocks_that_do_not_divide(
    rounded: Path, tmp_path: Path, fits: bool
) -> None:
    table = "model.decoder.embed_tokens"
    values = torch.randn(96, 128).to(torch.float8_e4m3fn)
    scale = torch.rand(2, 1) if fits else torch.rand(95, 1)

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{table}.weight"], tensors[f"{table}.weight_scale"] = values, scale

    folder = changed(rounded, tmp_path / "cut", change)
    if not fits:
        with pytest.raises(TensorError, match="do not go together"):
            read(folder, table, (96, 128))
        return
    grid = scale.repeat_interleave(64, 0)[:96]
    assert torch.equal(read(folder, table, (96, 128)).values, values.float() * grid)


def test_a_scale_is_found_under_either_name(rounded: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        for module in (Q, EXPERT):
            tensors[f"{module}.weight_scale_inv"] = tensors.pop(f"{module}.weight_scale")

    folder = changed(rounded, tmp_path / "inv", change)
    for module, shape in ((Q, (64, 128)), (EXPERT, (128, 64))):
        before, after = read(rounded, module, shape), read(folder, module, shape)
        assert torch.equal(before.scale, after.scale)


@pytest.mark.parametrize("ours", [True, False])
def test_nvfp4_is_read_as_its_numbers(rounded: Path, tmp_path: Path, ours: bool) -> None:
    data = torch.full((64, 64), 0x7A, dtype=torch.uint8)  # -1, then 6
    scale = torch.full((64, 8), 2.0).to(torch.float8_e4m3fn)

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{Q}.weight_packed" if ours else f"{Q}.weight"] = data
        tensors[f"{Q}.weight_scale"] = scale
        if ours:
            del tensors[f"{Q}.weight"]
            tensors[f"{Q}.weight_global_scale"] = torch.tensor([4.0])
        else:
            tensors[f"{Q}.weight_scale_2"] = torch.tensor(0.25)
            tensors[f"{Q}.input_scale"] = torch.tensor(1.0)

    folder = changed(rounded, tmp_path / "nv", change)
    found = read(folder, Q, (64, 128))
    assert (found.bits, found.values[0, :4].tolist()) == (4, [-0.5, 3.0, -0.5, 3.0])
    state = read_state(open_checkpoint(folder))
    weight = state["layers.0.attention.q.weight"]
    assert isinstance(weight, Weight)
    assert weight.format == "int4"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.update({f"{EXPERT}.weight_zero_point": torch.zeros(1)}), "asymmetric"),
        (lambda t: t.update({f"{EXPERT}.weight_g_idx": torch.zeros(1)}), "reordered"),
        (lambda t: t.pop(f"{EXPERT}.weight_scale"), "unknown layout: weight_packed of torch.int32"),
        (lambda t: t.pop(f"{EXPERT}.weight_packed"), "no matrix of weights"),
        (lambda t: t.update({f"{EXPERT}.weight_scale": torch.ones(128, 3)}), "do not go together"),
        (lambda t: t.update({f"{EXPERT}.weight_scale": torch.ones(128, 4)}), "groups of 16"),
        (lambda t: t.update({f"{EXPERT}.weight_scale": torch.ones(64, 1)}), "do not go together"),
        (lambda t: t.update({"model.decoder.extra.weight": torch.ones(2)}), "does not.*extra"),
        (lambda t: t.pop(f"{Q}.weight"), "q_proj has weight_scale, and no matrix"),
        (lambda t: t.pop("model.decoder.norm.weight"), "lacks the tensor model.decoder.norm"),
        (lambda t: t.update({f"{Q}.weight": torch.ones(64, 64).char()}), "asks for"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    rounded: Path, tmp_path: Path, change: Change, reason: str
) -> None:
    folder = changed(rounded, tmp_path / "bad", change)
    with pytest.raises(TensorError, match=reason):
        read_state(open_checkpoint(folder))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"quant_method": "gptq"}, "quantised as 'gptq' cannot be read; known are"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "modelopt 'W4A8_AWQ'"),
        ({"format": "marlin-24", "config_groups": {"a": {"weights": {}}}}, "'marlin-24'"),
        ({"config_groups": {}}, "expected a table"),
        ({"transform_config": {"r1": 1}}, "transform_config"),
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"),
        (
            {
                "format": "pack-quantized",
                "config_groups": {"a": {"weights": {"symmetric": False}}},
            },
            "asymmetric",
        ),
    ],
)
def test_unknown_layouts_are_refused_by_name(
    rounded: Path, tmp_path: Path, config: Mapping[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_checkpoint(changed(rounded, tmp_path / "bad", lambda _: None, **config))


def test_where_floats_are_needed_it_is_said_so(rounded: Path) -> None:
    checkpoint = open_checkpoint(rounded)
    assert checkpoint.quantised
    with pytest.raises(CheckpointError, match=r"is quantised.*made from"):
        checkpoint.check({})


@pytest.mark.filterwarnings("ignore")  # those of the other package
def test_compressed_tensors_reads_the_same_numbers() -> None:
    pytest.importorskip("compressed_tensors", exc_type=ImportError)
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig

    for format, per in (("int8", None), ("int4", 64), ("int4", 32), ("mxfp4", 32)):
        weight, _ = round_matrix(torch.randn(48, 128), format, group=per)  # type: ignore[arg-type]
        declared = declare({"all": group(format, per, ["Linear"])}, ["lm_head"])
        scheme = QuantizationConfig.model_validate(declared).config_groups["all"]
        compressor = BaseCompressor.get_value_from_registry(declared["format"])
        found = compressor.decompress(encode(weight), scheme)["weight"]
        assert torch.allclose(found.float(), weight.dequantised(), rtol=2**-8, atol=0)
