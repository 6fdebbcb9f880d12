"""What tells an adapter's base from other networks of its shape: norms, and rows of its embedding.

No rounding of matrices and no adapter changes them, and a training run of all weights does. They
are compared as bfloat16, so a base may be widened or narrowed.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from canvaslm.adapter.adapter import Adapter
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import released_name
from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Transformer

CPU = torch.device("cpu")
ROWS = 64  # of the embedding, or up to twice as many


def told(config: ModelConfig) -> list[str]:
    """The tensors that tell, by name: the embedding, and every vector."""
    with torch.device("meta"):
        state = Transformer(config).state_dict()
    vectors = [name for name, tensor in state.items() if tensor.dim() == 1 and tensor.numel() > 1]
    return ["embedding", *vectors]


def mark_of(config: ModelConfig, tensors: Mapping[str, Tensor]) -> str | None:
    """The mark of a network with these tensors; None where one is not there in floating point."""
    digest = hashlib.sha256()
    for name in told(config):
        tensor = tensors.get(name)
        if tensor is None or not tensor.is_floating_point():
            return None
        some = tensor.detach()[:: max(1, len(tensor) // ROWS)] if tensor.dim() > 1 else tensor
        rounded = some.detach().to(CPU, torch.bfloat16).contiguous()
        digest.update(name.encode() + rounded.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def mark_of_checkpoint(checkpoint: Checkpoint) -> str | None:
    """The mark of the network in a folder; None where its layout has those tensors in few bits."""
    stored = {name: checkpoint.tensors.get(released_name(name)) for name in told(checkpoint.config)}
    found = {
        name: tensor.load(dtype=tensor.dtype, device=CPU)
        for name, tensor in stored.items()
        if tensor is not None
    }
    return mark_of(checkpoint.config, found)


def warn_of_another_base(adapter: Adapter, checkpoint: Checkpoint) -> None:
    """Warn where the adapter was trained on another network: by its mark, or by its base's name
    where another program wrote it."""
    mark = None if adapter.mark is None else mark_of_checkpoint(checkpoint)
    if mark is None:
        adapter.warn_of_another_name(checkpoint.path)
    elif mark != adapter.mark:
        warnings.warn(
            f"the adapter was trained on {adapter.base or 'a model'}, and the weights in "
            f"{checkpoint.path} are others of the same shape: its answers will be worse than "
            "without it; load the checkpoint that it was trained on",
            stacklevel=2,
        )
