"""config.json: every spelling means one network, and nothing that changes the maths is ignored."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.checkpoint.config import read_config
from canvaslm.checkpoint.describe import describe_config
from canvaslm.errors import ConfigError
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig

PATTERN = ["sliding_attention", "sliding_attention", "full_attention"]
TEXT: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_global_key_value_heads": 1,
    "layer_types": PATTERN,
    "sliding_window": 16,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 12,
}
RAW: dict[str, Any] = {
    "model_type": "diffusion_gemma",
    "canvas_length": 32,
    "eos_token_id": [1, 6],
    "text_config": TEXT,
    "vision_config": {"anything": {"goes": [1, 2]}},
}
LOCAL = RopeConfig(theta=1e4)
GLOBAL = RopeConfig(theta=1e6, kind="proportional", partial=0.25)
SLIDING = LayerConfig(heads=4, kv_heads=2, head_dim=8, window=16, rope=LOCAL)
FULL = LayerConfig(heads=4, kv_heads=1, head_dim=16, window=None, rope=GLOBAL)


def changed(**text: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    raw["text_config"] |= text
    return raw


def without(*keys: str, **text: Any) -> dict[str, Any]:
    raw = changed(**text)
    for key in keys:
        del raw["text_config"][key]
    return raw


def test_the_released_spelling_gives_every_layer_its_own_geometry() -> None:
    assert read_config(RAW) == ModelConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        layers=(SLIDING, SLIDING, FULL),
        experts=ExpertsConfig(count=4, top_k=2, intermediate_size=12),
        canvas_length=32,
        eos_ids=(1, 6),
    )


@pytest.mark.parametrize("key", ["2", "02"])
def test_both_spellings_of_the_geometry_mean_the_same(key: str) -> None:
    shape = {"head_dim": 16, "num_key_value_heads": 1}
    spelled = without(
        "global_head_dim", "num_global_key_value_heads", per_layer_config={key: shape}
    )
    assert read_config(spelled) == read_config(RAW)
    assert read_config(changed(per_layer_config={key: shape})) == read_config(RAW)


def test_defaults_are_the_released_codes() -> None:
    config = read_config(without("layer_types", "global_head_dim", num_hidden_layers=8))
    assert [layer.sliding for layer in config.layers] == [True] * 5 + [False, True, False]
    assert {layer.head_dim for layer in config.layers if not layer.sliding} == {512}
    assert (config.softcap, config.norm_eps, config.max_positions) == (30.0, 1e-6, 131_072)


def test_null_experts_and_softcap_leave_them_out() -> None:
    config = read_config(changed(num_experts=None, final_logit_softcapping=None))
    assert (config.experts, config.softcap) == (None, None)


def test_a_last_layer_that_slides_is_made_full_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="the last of text_config.layer_types"):
        config = read_config(changed(layer_types=["sliding_attention"] * 3))
    assert config.layers == (SLIDING, SLIDING, FULL)


@pytest.mark.parametrize(
    "key",
    [
        "transformers_version",
        "dtype",
        "torch_dtype",
        "initializer_range",
        "architectures",
        "vision_soft_tokens_per_image",
        "_name_or_path",
        "a_note_by_somebody",
    ],
)
def test_description_passes_and_survives(key: str) -> None:
    raw = RAW | {key: "5.8.0"}
    assert read_config(raw) == read_config(RAW)
    saved = describe_config(read_config(raw), base=raw, dtype="bfloat16")
    assert saved == {k: v for k, v in raw.items() if k != "torch_dtype"} | {"dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_bias", True),
        ("hidden_activation", "silu"),
        ("tie_word_embeddings", False),
        ("use_bidirectional_attention", "all"),
        ("num_kv_shared_layers", 2),
        ("hidden_size_per_layer_input", 64),
        ("attn_logit_softcapping", 50.0),
        ("query_pre_attn_scalar", 224),
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0}),
        ("an_unknown_key", "text"),
        ("layer_types", ["chunked_attention", "sliding_attention", "full_attention"]),
        ("layer_types", ["full_attention"]),
        ("num_attention_heads", 3),
        ("num_attention_heads", "4"),
        ("hidden_size", 32.0),
        ("head_dim", 7),
        ("vocab_size", True),
        ("top_k_experts", 5),
        ("top_k_experts", None),
        ("sliding_window", 0),
        ("pad_token_id", 64),
        ("per_layer_config", {"2": {"head_dim": 32}}),
        ("per_layer_config", {"3": {"head_dim": 16}}),
        ("per_layer_config", {"2": {"sliding_window": 8}}),
        ("rope_parameters", {"full_attention": {"rope_theta": 1e6}}),
    ],
)
def test_what_cannot_be_run_is_refused_by_name_and_value(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(changed(**{key: value}))
    reworded = {
        "rope_parameters": "sliding_attention must be a table",
        "num_attention_heads": "heads must be a multiple" if value == 3 else key,
        "top_k_experts": "top_k must lie in [1, 4], got 5" if value == 5 else key,
        "sliding_window": "window must be at least 1",
        "pad_token_id": "pad_id (64,) lies outside",
        "head_dim": "head_dim must be even",
    }
    assert str(caught.value).startswith("config.json: ")
    assert reworded.get(key, key) in str(caught.value)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "yarn", "rope_theta": 1e6, "factor": 8.0},
        {"rope_type": "proportional", "rope_theta": 1e6, "factor": 2.0},
        {"rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 0.5},
        {"rope_type": "proportional"},
        {"rope_type": "proportional", "rope_theta": -1.0},
    ],
)
def test_unsupported_rope_is_refused(rope: dict[str, Any]) -> None:
    sliding = {"rope_type": "default", "rope_theta": 1e4}
    with pytest.raises(ConfigError, match="rope"):
        read_config(changed(rope_parameters={"sliding_attention": sliding, "full_attention": rope}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantization_config", {"quant_method": "fp8"}),
        ("tie_word_embeddings", False),
        ("embedding_multiplier", 2.0),
        ("hidden_activation", "silu"),
        ("head_dim", 8),
        ("model_type", "gemma4"),
        ("canvas_length", "long"),
        ("eos_token_id", ["1"]),
        ("text_config", None),
    ],
)
def test_what_cannot_be_run_is_refused_at_the_top_too(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        read_config(RAW | {key: value})


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "head_dim", "num_hidden_layers"])
def test_a_missing_size_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        read_config(without(key))


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    heads = draw(st.sampled_from([4, 12]))
    full, sliding = (
        [
            LayerConfig(heads=heads, kv_heads=kv, head_dim=d, window=window, rope=rope)
            for kv, d in draw(st.lists(st.sampled_from([(1, 4), (2, 8), (4, 6)]), min_size=1))
        ]
        for window, rope in ((None, GLOBAL), (draw(st.integers(1, 99)), LOCAL))
    )
    kinds = draw(st.lists(st.sampled_from(full + sliding), max_size=6))
    return ModelConfig(
        vocab_size=draw(st.integers(50, 99)),
        hidden_size=draw(st.integers(1, 99)),
        intermediate_size=draw(st.integers(1, 99)),
        layers=(*kinds, full[0]),
        experts=draw(st.none() | st.just(ExpertsConfig(count=4, top_k=2, intermediate_size=8))),
        softcap=draw(st.none() | st.just(12.5)),
        eos_ids=draw(st.sampled_from([(1,), (1, 7), ()])),
    )


@given(configs())
def test_what_is_described_is_read_back(config: ModelConfig) -> None:
    assert read_config(describe_config(config, base={}, dtype="float32")) == config
    assert read_config(describe_config(config, base=RAW, dtype="float32")) == config


def test_a_network_that_config_json_cannot_hold_is_refused() -> None:
    config = ModelConfig(vocab_size=8, hidden_size=8, intermediate_size=8, layers=(SLIDING,))
    with pytest.raises(ConfigError, match="last layer"):
        describe_config(config, base={}, dtype="float32")
