"""An adapter on a `Transformer`: its linear maps wrapped from outside, its own weights frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from canvaslm.adapter.adapter import Adapter, Pair, new_adapter, target_of
from canvaslm.adapter.config import TARGETS, AdapterConfig
from canvaslm.adapter.mark import mark_of
from canvaslm.errors import ParameterError
from canvaslm.model.transformer import Transformer

# N outputs, K inputs, r rank


class LowRank(nn.Module):
    """base(x) + scale B (A x), computed in the type of A and B; base(x) alone while not `on`."""

    def __init__(self, base: nn.Module, pair: Pair, *, scale: float) -> None:
        super().__init__()
        self.base, self.scale, self.on = base, scale, True
        self.a = nn.Parameter(pair.a)
        self.b = nn.Parameter(pair.b)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        if not self.on:
            return y
        low = F.linear(F.linear(x.to(self.a.dtype), self.a), self.b)
        return y + (low * self.scale).to(y.dtype)


def attach(model: Transformer, config: AdapterConfig, *, seed: int) -> dict[str, nn.Parameter]:
    """Put a new adapter on a network, whose weights are frozen; the parameters to train, by name.

    It changes nothing until it is trained. Raises ParameterError for a target that the network
    does not have, and where it wears an adapter already.
    """
    return wear(model, new_adapter(config, model.config, seed=seed))


def wear(model: Transformer, adapter: Adapter) -> dict[str, nn.Parameter]:
    """Put an adapter on a network, in place, to use it or to train it further.

    Raises TensorError for an adapter of another base, ParameterError where one is worn already.
    """
    adapter.check(model.config)
    check_bare(model)
    model.requires_grad_(False)
    made: dict[str, nn.Parameter] = {}
    for name, pair in adapter.pairs.items():
        place = model.device
        own = Pair(
            *(half.detach().to(place, torch.float32, copy=True) for half in (pair.a, pair.b))
        )
        wrapped = LowRank(model.get_submodule(name), own, scale=adapter.config.scale)
        model.set_submodule(name, wrapped)
        made |= {f"{name}.a": wrapped.a, f"{name}.b": wrapped.b}
    return made


def check_bare(model: Transformer) -> None:
    if worn(model):
        raise ParameterError("the network wears an adapter already: take it off first")


def worn(model: nn.Module) -> dict[str, LowRank]:
    """The wrapped linear maps of a network, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LowRank)}


def adapter_of(model: Transformer, config: AdapterConfig, *, base: str | None = None) -> Adapter:
    """The adapter that a network wears, copied. `config` is the one it was attached with."""
    pairs = {
        name: Pair(module.a.detach().cpu().clone(), module.b.detach().cpu().clone())
        for name, module in worn(model).items()
    }
    kinds = {target_of(name) for name in pairs}
    targets = tuple(target for target in TARGETS if target in kinds)
    mark = mark_of(model.config, model.state_dict())
    return Adapter(config=replace(config, targets=targets), pairs=pairs, base=base, mark=mark)


def take_off(model: Transformer) -> None:
    """Leave the network as it was before `wear`, still frozen."""
    for name, module in worn(model).items():
        model.set_submodule(name, module.base)


@contextmanager
def bare(model: nn.Module) -> Iterator[None]:
    """The network without what it wears, for a while.

    Raises ParameterError where nothing is worn.
    """
    wrapped = list(worn(model).values())
    if not wrapped:
        raise ParameterError("the network wears no adapter that could be left off")
    try:
        for one in wrapped:
            one.on = False
        yield
    finally:
        for one in wrapped:
            one.on = True


def wearing(model: Transformer, adapter: Adapter) -> Transformer:
    """Another network over the same weights, with the adapter on it; not for training.

    Raises what `wear` does.
    """
    check_bare(model)
    with torch.device("meta"):
        twin = Transformer(model.config)
    twin.load_state_dict(model.state_dict(), assign=True)
    wear(twin, adapter)
    return twin.requires_grad_(False).eval()
