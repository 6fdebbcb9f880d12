"""The presets are the sizes they say, and their reductions are networks of the same kind."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.errors import ParameterError
from canvaslm.model.presets import PRESETS, parameter_count, preset, reduced
from canvaslm.model.transformer import Transformer


def test_the_release_has_its_published_number_of_parameters() -> None:
    assert parameter_count(preset("26b-a4b")) == 25_250_986_782


@pytest.mark.parametrize(("name", "billions"), [("2b", 2.0), ("7b", 7.0)])
def test_the_dense_presets_are_as_large_as_their_names(name: str, billions: float) -> None:
    config = preset(name)
    assert config.experts is None
    assert parameter_count(config) / 1e9 == pytest.approx(billions, rel=0.05)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_ends_in_full_attention(name: str) -> None:
    assert not PRESETS[name].layers[-1].sliding


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ParameterError, match="use one of pocket, 2b, 7b, 26b-a4b"):
        preset("70b")


@given(
    st.sampled_from(sorted(PRESETS)), st.none() | st.integers(1, 6), st.none() | st.floats(0.01, 1)
)
def test_reductions_can_be_built_and_are_smaller(
    name: str, layers: int | None, scale: float | None
) -> None:
    config = PRESETS[name]
    small = reduced(config, layers=layers, scale=scale)
    assert len(small.layers) == (layers or len(config.layers))
    assert small.layers[-1].window is None
    assert small.hidden_size <= config.hidden_size
    assert (small.vocab_size, small.canvas_length) == (config.vocab_size, config.canvas_length)
    with torch.device("meta"):
        Transformer(small)
    assert parameter_count(small) <= parameter_count(config)


def test_no_reduction_is_the_preset() -> None:
    for config in PRESETS.values():
        assert reduced(config) == reduced(config, scale=1.0) == config


@pytest.mark.parametrize("options", [{"layers": 0}, {"layers": 31}, {"scale": 0}, {"scale": 1.5}])
def test_impossible_reductions_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(options))):
        reduced(preset("26b-a4b"), **options)
