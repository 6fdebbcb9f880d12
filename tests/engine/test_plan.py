"""The memory that a model needs, planned before it is taken."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.engine.sizes import arranged

import canvaslm
from canvaslm.checkpoint import Checkpoint, open_checkpoint
from canvaslm.checkpoint.names import released_name
from canvaslm.engine import loading
from canvaslm.engine import plan as plans
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.load import load_model
from canvaslm.engine.memory import available_memory, group_room
from canvaslm.engine.plan import RESERVE, check_memory, plan
from canvaslm.engine.quantised.matrices import shapes
from canvaslm.engine.quantised.read import quantise_model
from canvaslm.engine.quantised.write import quantise_folder
from canvaslm.errors import OutOfMemoryError, ParameterError
from canvaslm.kernels.cpu.library import runnable
from canvaslm.model.config import ExpertsConfig, ModelConfig
from canvaslm.model.presets import PRESETS, preset, reduced
from canvaslm.quant.scheme import SCHEMES, Scheme

SMALL = reduced(preset("pocket"), layers=3)


@dataclass(frozen=True)
class Headers:
    """What a plan reads of a folder in bfloat16, without the folder."""

    config: ModelConfig
    path: str = "26b"
    quantised: bool = False
    dtype: torch.dtype = torch.bfloat16

    @property
    def tensors(self) -> dict[str, SimpleNamespace]:
        found = shapes(self.config)
        return {released_name(name): SimpleNamespace(shape=found[name]) for name in found}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(new_checkpoint(SMALL, tmp_path_factory.mktemp("plan") / "model"))


@pytest.mark.parametrize("quant", ["int4", "int8", "mxfp4"])
def test_planned_weights_are_those_in_memory(
    source: Checkpoint, tmp_path: Path, quant: str
) -> None:
    state = quantise_model(source, SCHEMES[quant])
    planned = sum(plan(source, quant=quant).weights.values())
    assert planned == pytest.approx(arranged(state), rel=0.01)
    quantise_folder(source, tmp_path / "out", SCHEMES[quant])
    stored = sum(plan(open_checkpoint(tmp_path / "out")).weights.values())
    assert stored == pytest.approx(planned, rel=0.03)  # norms are float32 in memory


def test_sliding_layers_are_bounded_by_their_window_and_full_ones_grow() -> None:
    config = PRESETS["26b-a4b"]
    sliding, full = config.layers[0], config.layers[-1]
    long, longer = 16_384, 32_768
    assert plans.kv_bytes(sliding, long, config, 2) == plans.kv_bytes(sliding, longer, config, 2)
    assert plans.kv_bytes(full, longer, config, 2) == longer * 2 * 2 * 2 * 512
    assert plans.kv_bytes(sliding, 300, config, 4) == 512 * 2 * 4 * 8 * 256


def test_more_context_and_more_at_a_time_take_more(source: Checkpoint) -> None:
    one, long = plan(source, context=256), plan(source, context=8192)
    two = plan(source, context=256, batch=2)
    assert long.kv > one.kv
    assert (two.kv, two.head) == (2 * one.kv, 2 * one.head)
    assert one.head == 256 * SMALL.vocab_size * 2
    assert one.total == sum(one.parts.values())


def test_too_little_memory_is_refused_with_the_numbers_and_what_would_fit(
    source: Checkpoint,
) -> None:
    need = plan(source)
    assert check_memory(source, available=need.total) == plan(source, available=need.total)
    shorter = plan(source, context=SMALL.max_positions // 2)
    with pytest.raises(OutOfMemoryError, match=r"GB are needed.*experts.*kv.*free: context=4096"):
        check_memory(source, available=shorter.total)
    short, rounded = plan(source, context=256), plan(source, quant="int4")
    assert rounded.total > short.total - sum(need.weights.values())
    room = plan(source, quant="int4").total
    with pytest.raises(OutOfMemoryError, match="quant='int4' would fit"):
        check_memory(source, available=room)
    with pytest.raises(OutOfMemoryError, match="free some memory, or take a smaller model"):
        check_memory(source, available=RESERVE)


@pytest.mark.parametrize("context", [255, 8193, True, "long"])
def test_a_context_that_the_model_does_not_have(source: Checkpoint, context: object) -> None:
    with pytest.raises(ParameterError, match="context must be"):
        plan(source, context=context)  # type: ignore[arg-type]


def test_floats_are_planned_in_the_type_they_are_loaded_in(source: Checkpoint) -> None:
    narrow, wide = (plan(source, dtype=kind) for kind in (torch.bfloat16, torch.float32))
    model = load_model(source, device=torch.device("cpu"), dtype=torch.float32)
    exact = sum(tensor.nbytes for tensor in model.state_dict().values())
    # an encoder scalar that the file leaves out is the decoder's
    assert sum(wide.weights.values()) == pytest.approx(exact, rel=1e-3)
    assert [wide.kv, *wide.weights.values()] == [
        2 * n for n in [narrow.kv, *narrow.weights.values()]
    ]
    assert plan(source) == replace(wide, available=plan(source).available)
    with pytest.raises(OutOfMemoryError, match=r"needed as float32.*dtype='bfloat16' would fit"):
        check_memory(source, available=narrow.total)


def test_a_released_model_is_refused_where_it_does_not_fit() -> None:
    """26B on a machine of 24 GB."""
    checkpoint = Headers(PRESETS["26b-a4b"])
    with pytest.raises(
        OutOfMemoryError, match=r"5\d\.\d\d GB are needed as bfloat16.*quant='int4'"
    ):
        check_memory(checkpoint, available=22_000_000_000)  # type: ignore[arg-type]


def test_rounding_that_cannot_be_done_is_no_way_out(tmp_path: Path) -> None:
    narrow = replace(SMALL, experts=ExpertsConfig(count=2, top_k=1, intermediate_size=48))
    source = open_checkpoint(new_checkpoint(narrow, tmp_path / "narrow"))
    with pytest.raises(OutOfMemoryError, match="take a smaller model"):
        check_memory(source, available=RESERVE)
    with pytest.raises(ParameterError, match="48 inputs"):
        plan(source, quant="int4")


def test_what_would_fit_is_of_the_same_scheme(source: Checkpoint) -> None:
    scheme = Scheme(dense="int4")
    room = plan(source, quant=scheme, context=SMALL.max_positions // 2).total
    with pytest.raises(OutOfMemoryError, match="context=4096 would fit"):
        check_memory(source, quant=scheme, available=room)


def test_a_folder_that_is_rounded_is_not_planned_for_again(
    source: Checkpoint, tmp_path: Path
) -> None:
    quantise_folder(source, tmp_path / "out", Scheme())
    with pytest.raises(ParameterError, match="quantised already"):
        plan(open_checkpoint(tmp_path / "out"), quant="int4")


@pytest.mark.parametrize("settings", [{"quant": "int4"}, {}, {"dtype": "bfloat16"}])
def test_loading_plans_first(
    source: Checkpoint, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    assert canvaslm.load(source.path, context=512, **settings).config == SMALL
    monkeypatch.setattr(plans, "available_memory", lambda: 1000)
    monkeypatch.setattr(loading, "load_model", None)
    monkeypatch.setattr(loading, "load_native", None)
    with pytest.raises(OutOfMemoryError, match="are needed"):
        canvaslm.load(source.path, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"quant": "q4"}, "quant must be one of int4"),
        ({"quant": "int4", "device": "cuda"}, "run on the CPU"),
        ({"quant": "int4", "dtype": "float16"}, "types of their own"),
    ],
)
def test_settings_that_quantised_weights_do_not_have(
    source: Checkpoint, settings: dict[str, str], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        canvaslm.load(source.path, **settings)  # type: ignore[arg-type]


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    system = tmp_path / "meminfo"
    system.write_text("MemTotal: 100 kB\nMemAvailable:  50 kB\n")
    assert available_memory(system, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("40000\n")
    (tmp_path / "memory.current").write_text("30000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 5000\n")
    assert available_memory(system, tmp_path) == 15_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(system, tmp_path) == 50 * 1024
    older = tmp_path / "older" / "memory"
    older.mkdir(parents=True)
    (older / "memory.limit_in_bytes").write_text("9000\n")
    (older / "memory.usage_in_bytes").write_text("4000\n")
    assert group_room(tmp_path / "older") == 5000
    assert available_memory(tmp_path / "nowhere", tmp_path) > 0


def test_a_cache_in_8_bits_is_planned_for() -> None:
    pocket = open_checkpoint(loading.POCKET)
    plain, small = plan(pocket), plan(pocket, cache="int8")
    assert 0.25 < small.kv / plain.kv < 0.4  # float32 to int8, and a scale for 32 or 64 numbers


@pytest.mark.skipif(not runnable(), reason="no kernels were compiled")
def test_a_cache_in_8_bits_answers() -> None:
    prompt, params = "Draw: a small red circle in the center.", canvaslm.Params(seed=7)
    lm = canvaslm.load(cache="int8")
    assert lm.pool.quantised
    assert lm.generate(prompt, params=params).text.startswith("<svg")
    with pytest.raises(ParameterError, match='cache must be "auto" or "int8"'):
        canvaslm.load(cache="int4")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="needs the compiled kernels"):
        canvaslm.load(cache="int8", dtype="float64")
