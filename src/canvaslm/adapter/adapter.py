"""An adapter: two thin matrices for each matrix that it bends, by the network's own names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from canvaslm.adapter.config import TARGETS, AdapterConfig, Target
from canvaslm.errors import ParameterError, TensorError
from canvaslm.model.config import ModelConfig
from canvaslm.model.transformer import Transformer

# N outputs, K inputs, r rank


@dataclass(frozen=True, eq=False)
class Pair:
    """A [r, K] and B [N, r]: together B A [N, K]."""

    a: Tensor
    b: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """N and K of the matrix that it goes with."""
        return self.b.shape[0], self.a.shape[1]

    def product(self, *, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.b.to(dtype) @ self.a.to(dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """`pairs` by matrix, `layers.3.attention.q`; `base` names the checkpoint it was made for, and
    `mark` tells that from others of its shape (see `mark_of`).

    One adapter bends a matrix for encoding and for denoising alike.
    """

    config: AdapterConfig
    pairs: Mapping[str, Pair]
    base: str | None = None
    mark: str | None = None

    def __post_init__(self) -> None:
        rank = self.config.rank
        for name, pair in self.pairs.items():
            if pair.a.ndim != 2 or pair.b.ndim != 2 or {len(pair.a), pair.b.shape[1]} != {rank}:
                raise TensorError(
                    f"the adapter's matrices of {name} are {list(pair.a.shape)} and "
                    f"{list(pair.b.shape)}, expected [{rank}, inputs] and [outputs, {rank}] for a "
                    f"rank of {rank}"
                )
            if not (pair.a.isfinite().all() and pair.b.isfinite().all()):
                raise TensorError(f"the adapter of {name} holds a NaN or infinity; train it again")

    def check(self, model: ModelConfig) -> None:
        """Raises TensorError where it was made for a network of another shape."""
        shapes = linears(model)
        for name, pair in self.pairs.items():
            if name not in shapes:
                raise TensorError(
                    f"the adapter is for another base: it bends {name}, which this network does "
                    "not have; load the checkpoint that it was trained on"
                )
            if pair.shape != shapes[name]:
                raise TensorError(
                    f"the adapter is for another base: {name} is {list(shapes[name])} here, and "
                    f"the adapter's is {list(pair.shape)}; load the checkpoint that it was "
                    "trained on"
                )

    def warn_of_another_name(self, folder: Path) -> None:
        """Warn where the base's name is not that of the checkpoint in `folder`; names may lie."""
        wanted = (self.base or "").rstrip("/").rpartition("/")[2].lower()
        if wanted and wanted not in str(folder.resolve()).lower().replace("--", "/"):
            warnings.warn(
                f"the adapter says that it was trained on {self.base!r}, and this is {folder}: "
                "if that is another model, its answers will be worse than without it",
                stacklevel=2,
            )


def target_of(name: str) -> Target | None:
    """The kind of a matrix, `layers.3.attention.q` -> `attention.q`; None: it has no adapters."""
    kind = name.split(".", 2)[2] if name.startswith("layers.") else name
    return next((target for target in TARGETS if target == kind), None)


def linears(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """The matrices that can have an adapter, with their outputs and inputs, in network order."""
    with torch.device("meta"):
        modules = Transformer(config).named_modules()
    return {
        name: (module.out_features, module.in_features)
        for name, module in modules
        if isinstance(module, nn.Linear) and target_of(name)
    }


def new_adapter(
    config: AdapterConfig, model: ModelConfig, *, seed: int, base: str | None = None
) -> Adapter:
    """An adapter that changes nothing yet: A uniform (Kaiming), B zero, float32.

    Raises ParameterError for a target that the network does not have.
    """
    shapes = {n: s for n, s in linears(model).items() if target_of(n) in config.targets}
    absent = set(config.targets) - {target_of(name) for name in shapes}
    if absent:
        raise ParameterError(
            f"the network has no {', '.join(sorted(absent))}: leave that out of the targets"
        )
    generator, pairs = torch.Generator().manual_seed(seed), {}
    for name, (outputs, inputs) in shapes.items():
        a = torch.empty(config.rank, inputs)
        a.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        pairs[name] = Pair(a, torch.zeros(outputs, config.rank))
    return Adapter(config=config, pairs=pairs, base=base)
