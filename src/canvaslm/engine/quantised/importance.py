"""Which inputs of a matrix are large while a text is read: the mean square of each.

Rounding then minimises the error of the outputs, to which a large input contributes more. A
hidden state seen by few tokens says little, so an expert's statistics are drawn towards those of
all experts of its layer, and no input counts for less than a hundredth of the average.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from canvaslm.cache.pages import Pool, Prefix
from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import expert_module, module_name
from canvaslm.engine.encode import extend_all
from canvaslm.engine.load import load_model
from canvaslm.engine.prompt import need_tokenizer
from canvaslm.errors import CheckpointError, ParameterError
from canvaslm.model.moe import Experts
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer

# T tokens, K inputs, D hidden, I expert intermediate

TOKENS = 4096  # of the text that are read
FLOOR = 0.01  # of the average, below which no input counts
PRIOR = 64.0  # tokens that the layer's statistics count for in an expert's

CPU = torch.device("cpu")


def read_text(checkpoint: Checkpoint, file: Path) -> list[int]:
    """The first tokens of a text. Raises ParameterError if there are none, or no such file."""
    tokenizer = need_tokenizer(Tokenizer.from_folder(checkpoint.path))
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file} cannot be read as text: {error}") from None
    limit = min(TOKENS, checkpoint.config.max_positions)
    ids = [checkpoint.config.bos_id, *tokenizer.encode(text)][:limit]
    if len(ids) < 2:
        raise ParameterError(f"{file} is empty: give a text like those the model will read")
    return ids


def measure_importance(checkpoint: Checkpoint, ids: list[int]) -> dict[str, Tensor]:
    """Mean square of every input, float32 [K], by the module that reads it.

    Raises CheckpointError where activations are not finite.
    """
    model = load_model(checkpoint, device=CPU)
    sums = Sums()
    handles = sums.watch(model)
    try:
        # one pass for all tokens: weights that memory does not hold are read from the disk once
        dtype = model.embedding.dtype
        pool = Pool(model.config, page_size=len(ids), device=CPU, dtype=dtype)
        with torch.inference_mode(), Prefix(pool) as prefix:
            for _ in extend_all(model, prefix, ids):
                pass
    finally:
        for stop in handles:
            stop()
    means = sums.means()
    for module, mean_K in means.items():
        if not bool(mean_K.isfinite().all()):
            raise CheckpointError(
                f"{checkpoint.path}: what {module} reads is not finite while the text is read: a "
                f"weight is damaged, or {checkpoint.dtype} is too narrow for this network; without "
                "calibration a damaged weight is named with its place"
            )
    return means


class Sums:
    """Sums of squares and numbers of tokens, by module; experts once more by their layer."""

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}
        self.tokens: dict[str, int] = {}
        self.layer_of: dict[str, str] = {}

    def add(self, module: str, x_TK: Tensor) -> None:
        squares_K = x_TK.flatten(0, -2).float().square().sum(dim=0)
        self.squares[module] = self.squares.get(module, torch.zeros(())) + squares_K
        self.tokens[module] = self.tokens.get(module, 0) + x_TK[..., 0].numel()

    def watch(self, model: Transformer) -> list[Callable[[], None]]:
        """Begin to sum; the functions end it."""
        stops: list[Callable[[], None]] = []
        for name, part in model.named_modules():
            if isinstance(part, nn.Linear) and name.startswith("layers.") and "router" not in name:
                module = module_name(f"{name}.weight")
                hook = part.register_forward_pre_hook(
                    lambda _, inputs, module=module: self.add(module, inputs[0])
                )
                stops.append(hook.remove)
        for index, layer in enumerate(model.layers):
            if layer.router is not None:
                stops.append(self.watch_experts(layer.experts, index))
        return stops

    def watch_experts(self, experts: Experts, layer: int) -> Callable[[], None]:
        plain = experts.expert

        def watched(index: int, x_RD: Tensor) -> Tensor:
            gate, up = F.linear(x_RD, experts.gate_up[index]).chunk(2, dim=-1)
            hidden_RI = F.gelu(gate, approximate="tanh") * up
            for matrix, x in (("gate", x_RD), ("up", x_RD), ("down", hidden_RI)):
                module, shared = expert_module(layer, index, matrix), f"{layer}.{matrix}"
                self.layer_of[module] = shared
                self.add(module, x)
                self.add(shared, x)
            return plain(index, x_RD)

        experts.expert = watched  # type: ignore[method-assign]
        return lambda: setattr(experts, "expert", plain)

    def means(self) -> dict[str, Tensor]:
        found = {}
        for module, squares_K in self.squares.items():
            count = float(self.tokens[module])
            if module in self.layer_of:
                shared = self.layer_of[module]
                squares_K = squares_K + PRIOR / self.tokens[shared] * self.squares[shared]
                count += PRIOR
            mean_K = squares_K / count
            found[module] = mean_K.clamp_min(FLOOR * float(mean_K.mean()))
        shared_names = set(self.layer_of.values())
        return {module: mean_K for module, mean_K in found.items() if module not in shared_names}
