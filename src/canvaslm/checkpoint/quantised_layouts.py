"""The layouts of a quantised matrix: the tensors of a module to a `Weight`, and back.

    int-quantized         weight int8 [N, K], weight_scale [N, 1]
    pack-quantized        weight_packed int32 [N, K / 8], eight w + 8 in ascending nibbles,
                          weight_scale [N, K / g] or [N, 1], weight_shape
    mxfp4-pack-quantized  weight_packed uint8 [N, K / 2], weight_scale uint8 [N, K / 32]
    float-quantized       weight float8 [N, K], weight_scale [N, 1], [1] or one per block
    nvfp4                 weight_packed or weight uint8 [N, K / 2], weight_scale float8 [N, K / 16],
                          weight_global_scale (a divisor) or weight_scale_2 (a factor)

The first three are views of the file. The last two come as floats, to be rounded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.checkpoint.safetensors import StoredTensor
from canvaslm.errors import TensorError
from canvaslm.kernels.weight import E2M1, Weight

# N outputs, K inputs, g inputs that share a scale

CPU = torch.device("cpu")
DATA = ("weight", "weight_packed")
SCALES = ("weight_scale", "weight_scale_inv", "weight_global_scale", "weight_scale_2")
NOTES = ("weight_shape", "input_scale", "input_global_scale")
REFUSED = ("weight_zero_point", "weight_g_idx")
SUFFIXES = (*DATA, *SCALES, *NOTES, *REFUSED)
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
BYTES = (torch.uint8, torch.float8_e8m0fnu)
NVFP4_GROUP = 16

Parts = Mapping[str, StoredTensor]


@dataclass(frozen=True, eq=False)
class Loose:
    """A matrix [N, K] in a layout that no kernel reads: its numbers, and how many bits they had."""

    values: Tensor
    bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)


def decode(module: str, parts: Parts, *, width: int) -> Weight | Loose:
    """The matrix of a module; loose where no kernel reads the layout. Raises TensorError."""
    for suffix in REFUSED:
        if suffix in parts:
            raise TensorError(
                f"{module} has a {suffix}: asymmetric or reordered weights cannot be read; "
                "quantise the original anew with `canvaslm quantize`"
            )
    data = parts.get("weight_packed") or parts.get("weight")
    if data is None or len(data.shape) != 2:
        raise TensorError(f"{module} has {', '.join(sorted(parts))}, and no matrix of weights")
    if data.dtype in FLOATS:
        return plain(data)
    reader = reader_of(data, parts)
    if reader is None:
        raise TensorError(
            f"{module} is in an unknown layout: {data.name.rpartition('.')[2]} of {data.dtype} "
            f"with {', '.join(sorted(set(parts) - set(DATA))) or 'no scale'}"
        )
    try:
        return reader(module, data, parts, width)
    except RuntimeError as error:  # shapes that do not go together
        raise malformed(module, parts) from error


Reader = Callable[[str, StoredTensor, Parts, int], Weight | Loose]


def reader_of(data: StoredTensor, parts: Parts) -> Reader | None:
    if not {"weight_scale", "weight_scale_inv"} & parts.keys():
        return None
    match data.dtype, stored_scale(parts).dtype:
        case torch.int8, kind if kind in FLOATS:
            return int8
        case torch.int32, kind if kind in FLOATS:
            return packed
        case torch.uint8, kind if kind in BYTES:
            return mxfp4
        case torch.uint8, torch.float8_e4m3fn:
            return nvfp4
        case kind, other if kind in FLOAT8 and other in FLOATS:
            return float8
    return None


def plain(data: StoredTensor) -> Weight:
    if data.dtype == torch.bfloat16:
        return Weight("bfloat16", loaded(data))
    return Weight("float32", loaded(data, torch.float32))


def int8(module: str, data: StoredTensor, parts: Parts, width: int) -> Weight:
    rows = data.shape[0]
    scale = scale_of(parts).flatten()
    if scale.numel() not in (1, rows):
        raise malformed(module, parts)
    return Weight("int8", loaded(data), scale.expand(rows).contiguous())


def packed(module: str, data: StoredTensor, parts: Parts, width: int) -> Weight | Loose:
    """int4, or the same layout with 8 bits."""
    rows, words = data.shape
    scale = scale_of(parts)
    if scale.ndim != 2 or scale.shape[0] != rows or width % scale.shape[1]:
        raise malformed(module, parts)
    group = width // scale.shape[1]
    codes = loaded(data).view(torch.uint8)
    if words * 4 == width:
        whole = (codes ^ 0x80).view(torch.int8)
        if group == width:
            return Weight("int8", whole, scale[:, 0].contiguous())
        return Loose((whole.float().view(rows, -1, group) * scale[:, :, None]).flatten(1), 8)
    if words * 8 != width:
        raise malformed(module, parts)
    ours = next((g for g in (64, 32) if group % g == 0), None)
    if ours is None:
        raise TensorError(
            f"{module} has groups of {group}; the kernels read 32, 64 and their multiples: "
            "quantise the original anew with `canvaslm quantize`"
        )
    stored = stored_scale(parts)
    if stored.dtype == torch.bfloat16 and group == ours:
        return Weight("int4", codes, loaded(stored))
    return Weight("int4", codes, scale.bfloat16().repeat_interleave(group // ours, dim=1))


def mxfp4(module: str, data: StoredTensor, parts: Parts, width: int) -> Weight:
    scale = loaded(stored_scale(parts)).view(torch.uint8)
    if data.shape[1] * 2 != width or scale.shape != (data.shape[0], width // 32):
        raise malformed(module, parts)
    return Weight("mxfp4", loaded(data), scale)


def float8(module: str, data: StoredTensor, parts: Parts, width: int) -> Loose:
    """Scales multiply, one for all, per row, or per block of a grid."""
    values = loaded(data, torch.float32)
    scale = scale_of(parts)
    if scale.numel() == 1:
        return Loose(values.mul_(scale.flatten()), 8)
    if scale.ndim == 1:
        scale = scale[:, None]
    if scale.ndim != 2:
        raise malformed(module, parts)
    for axis, length in enumerate(values.shape):
        block = block_length(length, scale.shape[axis])
        if block is None:
            raise malformed(module, parts)
        scale = scale.repeat_interleave(block, axis).narrow(axis, 0, length)
    return Loose(values.mul_(scale), 8)


def block_length(length: int, blocks: int) -> int | None:
    """How long blocks are of which the last may be cut short: a power of two, as all that are in
    use, or equal ones; None where neither gives so many."""
    if blocks == 1:
        return length
    power = 1 << (max(1, -(-length // max(1, blocks))) - 1).bit_length()
    for block in (power, length // max(1, blocks)):
        if block and -(-length // block) == blocks:
            return block
    return None


def nvfp4(module: str, data: StoredTensor, parts: Parts, width: int) -> Loose:
    rows = data.shape[0]
    codes = loaded(data)
    table = torch.tensor((*E2M1, *(-value for value in E2M1)))
    values = table[torch.stack((codes & 15, codes >> 4), dim=-1).flatten(1).int()]
    scale = scale_of(parts)
    if scale.shape != (rows, width // NVFP4_GROUP) or values.shape[1] != width:
        raise malformed(module, parts)
    if "weight_global_scale" in parts:
        scale = scale / loaded(parts["weight_global_scale"], torch.float32).flatten()
    elif "weight_scale_2" in parts:
        scale = scale * loaded(parts["weight_scale_2"], torch.float32).flatten()
    return Loose(values.view(rows, -1, NVFP4_GROUP).mul_(scale[:, :, None]).flatten(1), 4)


def stored_scale(parts: Parts) -> StoredTensor:
    """It multiplies under both names."""
    return parts.get("weight_scale") or parts["weight_scale_inv"]


def scale_of(parts: Parts) -> Tensor:
    return loaded(stored_scale(parts), torch.float32)


def loaded(tensor: StoredTensor, dtype: torch.dtype | None = None) -> Tensor:
    return tensor.load(dtype=dtype or tensor.dtype, device=CPU)


def malformed(module: str, parts: Parts) -> TensorError:
    shapes = ", ".join(f"{name} {list(part.shape)}" for name, part in sorted(parts.items()))
    return TensorError(
        f"{module}: the shapes of its tensors do not go together ({shapes}); fetch it again"
    )


def encode(weight: Weight) -> dict[str, Tensor]:
    """The tensors of a rounded weight by suffix; the large ones share its memory."""
    scale = weight.scale
    assert scale is not None
    if weight.format == "int8":
        return {"weight": weight.data, "weight_scale": scale[:, None].bfloat16()}
    if weight.format == "mxfp4":
        return {"weight_packed": weight.data, "weight_scale": scale}
    return {
        "weight_packed": weight.data.view(torch.int32),
        "weight_scale": scale,
        "weight_shape": torch.tensor(weight.shape),
    }


def encoded_like(format: str, shape: tuple[int, int], group: int | None) -> dict[str, Tensor]:
    """What `encode` will give, on the meta device: names, types and shapes."""
    rows, width = shape
    empty = {
        "int8": lambda: Weight(
            "int8", torch.empty(rows, width, dtype=torch.int8), torch.empty(rows)
        ),
        "int4": lambda: Weight(
            "int4",
            torch.empty(rows, width // 2, dtype=torch.uint8),
            torch.empty(rows, width // (group or 1), dtype=torch.bfloat16),
        ),
        "mxfp4": lambda: Weight(
            "mxfp4",
            torch.empty(rows, width // 2, dtype=torch.uint8),
            torch.empty(rows, width // 32, dtype=torch.uint8),
        ),
    }
    with torch.device("meta"):
        return encode(empty[format]())
