"""Adapter tensors: what PEFT calls them over transformers' modules, and what they are here."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from canvaslm.adapter.config import TARGETS
from canvaslm.checkpoint.names import DECODER, ENCODER, module_name
from canvaslm.errors import TensorError

Side = Literal["encoder", "decoder"]
"""transformers has the tied layers twice, and PEFT an adapter on each."""

PREFIX = "base_model.model."
KEY = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.lora_(?P<half>[AB])\.weight")
LAYER = re.compile(r"layers\.(\d+)\.(.+)")
SCALED = "layers.0."


def _leaf(target: str) -> str:
    name = target if target.startswith("self_conditioning") else SCALED + target
    return module_name(f"{name}.weight").removeprefix(DECODER).removeprefix(SCALED)


LEAVES = {target: _leaf(target) for target in TARGETS}  # attention.q -> self_attn.q_proj
KINDS = {leaf: target for target, leaf in LEAVES.items()}

REFUSED = {
    "lora_magnitude_vector": "DoRA scales every row of a weight, which is no low-rank change",
    "lora_embedding_": "the embedding, which is also the output head, has no adapters here",
    "lm_head": "the output head is the embedding, and has no adapters here",
    "embed_tokens": "the embedding has no adapters here",
    "vision": "the image encoder is not run here",
    "experts": "experts have no adapters here; train on attention and dense MLPs",
    "modules_to_save": "whole modules beside an adapter are not read; merge them with PEFT",
    ".bias": "biases beside an adapter are not read, as this network has none",
}
"""Parts of keys that are known and refused, and why."""


class Place(NamedTuple):
    """Where a tensor of a PEFT file belongs."""

    name: str  # layers.3.attention.q
    side: Side
    half: Literal["A", "B"]


def place_of(key: str) -> Place:
    """Read a key of adapter_model.safetensors. Raises TensorError for one that has no place."""
    for part, reason in REFUSED.items():
        if part in key:
            raise TensorError(f"the adapter's tensor {key} cannot be used: {reason}")
    if (found := KEY.fullmatch(key)) is not None:
        module, half = found["module"], found["half"]
        for side, prefix in (("encoder", ENCODER), ("decoder", DECODER)):
            name = _ours(module.removeprefix(prefix)) if module.startswith(prefix) else None
            if name and (side == "decoder" or name.startswith("layers.")):
                return Place(name, side, half)  # type: ignore[arg-type]
    raise TensorError(
        f"the adapter's tensor {key} is not known: expected {PREFIX}{DECODER}layers.0."
        f"{LEAVES['attention.q']}.lora_A.weight and the like, of a LoRA that was trained on "
        "DiffusionGemma"
    )


def _ours(inner: str) -> str | None:
    in_layer = LAYER.fullmatch(inner)
    if in_layer is None:
        return KINDS.get(inner)
    target = KINDS.get(in_layer[2])
    return None if target is None else f"layers.{in_layer[1]}.{target}"


def modules_of(name: str) -> list[str]:
    """transformers' modules with these weights: the decoder's and, if tied, the encoder's."""
    decoder = module_name(f"{name}.weight")
    if not name.startswith("layers."):
        return [decoder]
    return [decoder, ENCODER + decoder.removeprefix(DECODER)]


def key_of(module: str, half: Literal["A", "B"]) -> str:
    return f"{PREFIX}{module}.lora_{half}.weight"


def pattern_of(modules: list[str]) -> str:
    """A regular expression for PEFT's `target_modules` that matches these modules and no other."""
    layers: dict[str, set[int]] = {}
    single = []
    for module in modules:
        found = re.fullmatch(r"(.+\.layers\.)(\d+)(\..+)", module)
        if found is None:
            single.append(re.escape(module))
        else:
            layers.setdefault(f"{found[1]}*{found[3]}", set()).add(int(found[2]))
    joined = []
    for shape, numbers in layers.items():
        which = "|".join(map(str, sorted(numbers)))
        joined.append(f"({which})".join(map(re.escape, shape.split("*"))))
    return "|".join(f"({part})" for part in [*joined, *single])
