"""The image encoder's configuration and tensors, so that a new checkpoint is a complete one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canvaslm.checkpoint.names import VISION

RELEASED_VISION: dict[str, Any] = {
    "model_type": "gemma4_vision",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 72,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "patch_size": 16,
    "pooling_kernel_size": 3,
    "position_embedding_size": 10_240,
    "default_output_length": 280,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
    "standardize": True,
    "use_clipped_linears": False,
    "initializer_range": 0.02,
}
# transformers builds an image encoder whatever the model; a text model carries this one, 18 kB.
SMALLEST_VISION: dict[str, Any] = RELEASED_VISION | {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "position_embedding_size": 8,
}


def vision_shapes(vision: Mapping[str, Any], text_size: int) -> dict[str, tuple[int, ...]]:
    """Released name and shape of every tensor of this image encoder and its projection."""
    tower, projection = VISION
    size, inner = vision["hidden_size"], vision["intermediate_size"]
    head, heads = vision["head_dim"], vision["num_attention_heads"]
    layer = {
        "self_attn.q_proj.linear": (heads * head, size),
        "self_attn.k_proj.linear": (vision["num_key_value_heads"] * head, size),
        "self_attn.v_proj.linear": (vision["num_key_value_heads"] * head, size),
        "self_attn.o_proj.linear": (size, heads * head),
        "self_attn.q_norm": (head,),
        "self_attn.k_norm": (head,),
        "mlp.gate_proj.linear": (inner, size),
        "mlp.up_proj.linear": (inner, size),
        "mlp.down_proj.linear": (size, inner),
        "input_layernorm": (size,),
        "post_attention_layernorm": (size,),
        "pre_feedforward_layernorm": (size,),
        "post_feedforward_layernorm": (size,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}encoder.layers.{i}.{name}.weight": shape
        for i in range(vision["num_hidden_layers"])
        for name, shape in layer.items()
    }
    table = (2, vision["position_embedding_size"], size)
    return shapes | {
        f"{tower}patch_embedder.input_proj.weight": (size, 3 * vision["patch_size"] ** 2),
        f"{tower}patch_embedder.position_embedding_table": table,
        f"{tower}std_bias": (size,),
        f"{tower}std_scale": (size,),
        f"{projection}embedding_projection.weight": (text_size, size),
    }
