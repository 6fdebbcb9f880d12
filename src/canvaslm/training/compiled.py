"""Speed and memory, from outside: compiled layers, grouped experts, activations made anew."""

from __future__ import annotations

import ctypes
import functools
import shutil
import sysconfig
from pathlib import Path

import torch
import torch._dynamo
import torch.fx.experimental._config
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from canvaslm.adapter.rounded import is_rounded
from canvaslm.model.moe import Experts
from canvaslm.model.transformer import Transformer
from canvaslm.training import attend, objective
from canvaslm.training.experts import mixture

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # mallopt(3)


def can_compile() -> bool:
    """Whether there is what torch compiles with: a C++ compiler, and the headers of Python."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which("c++") is not None and headers.is_file()


def speed_up(model: Transformer) -> None:
    """Compile attention and what lies between its calls, once for all layers and lengths.

    The numbers stay those of the plain model up to rounding. A network of few bits is left as it
    is. Needs `can_compile`.
    """
    if is_rounded(model):
        return
    torch._dynamo.config.recompile_limit = 64
    torch.fx.experimental._config.use_duck_shape = False  # equal lengths are a coincidence here
    for layer in model.layers:
        compile_methods(layer, "before", "after")
    group_experts(model)
    compile_methods(model.self_conditioning, "forward")
    attend.attention = torch.compile(attend.attention, dynamic=True)
    objective.token_losses = torch.compile(objective.token_losses, dynamic=True)
    objective.soft_guess = torch.compile(objective.soft_guess, dynamic=True)


def compile_methods(module: nn.Module, *names: str) -> None:
    for name in names:
        setattr(module, name, torch.compile(getattr(module, name), dynamic=True))


def recompute(model: Transformer) -> None:
    """Keep of every layer only what goes in, and compute the rest again for the gradient.

    Attention itself is not done twice: its K/V are what the denoiser reads.
    """
    for layer in model.layers:
        for name in ("before", "after"):
            again = functools.partial(checkpoint, getattr(layer, name), use_reentrant=False)
            setattr(layer, name, again)


def group_experts(model: Transformer) -> None:
    """Let every mixture run as one operation, but those of few bits."""
    for layer in model.layers:
        if layer.router is not None and not is_rounded(model):
            group(layer.experts)


def group(module: Experts) -> None:
    """Let a mixture run as one operation with its own gradient."""

    def forward(x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor) -> Tensor:
        return mixture(x_TD, weights_TK, index_TK, module.gate_up, module.down)

    module.forward = forward  # type: ignore[method-assign]


def keep_memory() -> None:
    """Let glibc keep what is freed: a step's tensors are the next step's, and page faults cost
    (measured: 15 % of an eager step). Does nothing under another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
