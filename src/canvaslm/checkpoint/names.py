"""Tensor names: what the network calls a parameter, and what the released checkpoints call it."""

from __future__ import annotations

DECODER = "model.decoder."
ENCODER = "model.encoder.language_model."
VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")

TOP = {
    "embedding": "embed_tokens.weight",
    "norm.weight": "norm.weight",
    "self_conditioning.norm_in.weight": "self_conditioning.pre_norm.weight",
    "self_conditioning.mlp.gate.weight": "self_conditioning.gate_proj.weight",
    "self_conditioning.mlp.up.weight": "self_conditioning.up_proj.weight",
    "self_conditioning.mlp.down.weight": "self_conditioning.down_proj.weight",
}
LAYER = {
    "attention.q.weight": "self_attn.q_proj.weight",
    "attention.k.weight": "self_attn.k_proj.weight",
    "attention.v.weight": "self_attn.v_proj.weight",
    "attention.o.weight": "self_attn.o_proj.weight",
    "attention.q_norm.weight": "self_attn.q_norm.weight",
    "attention.k_norm.weight": "self_attn.k_norm.weight",
    "attention_in.weight": "input_layernorm.weight",
    "attention_out.weight": "post_attention_layernorm.weight",
    "mlp.gate.weight": "mlp.gate_proj.weight",
    "mlp.up.weight": "mlp.up_proj.weight",
    "mlp.down.weight": "mlp.down_proj.weight",
    "mlp_in.weight": "pre_feedforward_layernorm.weight",
    "mlp_out.weight": "post_feedforward_layernorm_1.weight",
    "router.proj.weight": "router.proj.weight",
    "router.scale": "router.scale",
    "router.expert_scale": "router.per_expert_scale",
    "experts.gate_up": "experts.gate_up_proj",
    "experts.down": "experts.down_proj",
    "experts_in.weight": "pre_feedforward_layernorm_2.weight",
    "experts_out.weight": "post_feedforward_layernorm_2.weight",
    "feedforward_out.weight": "post_feedforward_layernorm.weight",
    "denoise_scalar": "layer_scalar",
}


def released_name(name: str) -> str:
    """The released name of a network parameter: `layers.3.mlp_in.weight` -> `model.decoder...`."""
    if not name.startswith("layers."):
        return DECODER + TOP[name]
    _, index, rest = name.split(".", 2)
    if rest == "encode_scalar":
        return f"{ENCODER}layers.{index}.layer_scalar"
    return f"{DECODER}layers.{index}.{LAYER[rest]}"


def module_name(name: str) -> str:
    """The released module of a matrix: its name in a quantised folder but for the suffix."""
    return released_name(name).removesuffix(".weight")


def expert_module(layer: int, expert: int, matrix: str) -> str:
    """The module of one expert's `gate`, `up` or `down`, where experts are not fused."""
    return f"{DECODER}layers.{layer}.experts.{expert}.{matrix}_proj"


def original_of(released: str) -> str | None:
    """The tensor a tied one repeats, or None: the encoder's text weights and the output head.

    The encoder's layer scalars are its own, but a file may leave them out: see `is_encode_scalar`.
    """
    if released == "lm_head.weight":
        return DECODER + TOP["embedding"]
    if released.startswith(ENCODER):
        return DECODER + released.removeprefix(ENCODER)
    return None


def is_encode_scalar(released: str) -> bool:
    """Whether this is a layer scalar of the encoder; absent from a file, it is the decoder's."""
    return released.startswith(ENCODER) and released.endswith(".layer_scalar")


def is_vision(released: str) -> bool:
    """Whether a tensor belongs to the image encoder: carried along, not run by the text network."""
    return released.startswith(VISION)
