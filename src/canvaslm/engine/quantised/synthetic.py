"""Random weights in few bits, written directly: what `canvaslm quantize` would leave, made up.

The values have the statistics that matter to speed and to sane numbers: codes as rounded normal
weights have them, scales that vary, attention scores and logits that spread. The originals never
exist, so any size can be made that fits the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod, sqrt
from typing import Any

import torch

from canvaslm.checkpoint.names import released_name
from canvaslm.checkpoint.quantised_layouts import encoded_like
from canvaslm.checkpoint.save import TensorToWrite, raw_bytes
from canvaslm.engine.quantised.matrices import Matrix, kept_names, matrices, shapes
from canvaslm.engine.quantised.rounder import rounded_format
from canvaslm.engine.quantised.write import declare_scheme, to_round
from canvaslm.kernels.weight import Format
from canvaslm.model.config import ModelConfig
from canvaslm.quant.scheme import Scheme
from canvaslm.quant.synthetic import Table, codes, lognormal, normal, scales

DEVIATION = 0.02  # of every matrix, as the released code initialises them
LOGITS = 5.0  # standard deviation of the logits over the vocabulary, before the soft cap
SCORES = 2.0  # of attention scores
ROUTING = 1.5  # of the router's scores
NORMS = 0.2  # of the logarithms of norm weights


def synthetic_text(
    config: ModelConfig, scheme: Scheme, *, seed: int
) -> tuple[list[TensorToWrite], dict[str, Any]]:
    """The tensors of a quantised network, drawn when written, and what config.json says of them.

    Raises ParameterError where the scheme's groups do not divide a matrix.
    """
    draw, all_shapes = Draw(seed), shapes(config)
    todo = sorted(matrices(config), key=lambda matrix: matrix.module)
    made = [tensor for matrix in todo for tensor in draw.matrix(matrix, scheme)]
    made += [draw.kept(name, all_shapes[name], config) for name in kept_names(config)]
    return made, declare_scheme(to_round(config, scheme), scheme)


class Draw:
    """Tensors by seed and name; tables are made once."""

    def __init__(self, seed: int) -> None:
        self.seed, self.tables = seed, dict[str, Table]()

    def matrix(self, matrix: Matrix, scheme: Scheme) -> list[TensorToWrite]:
        format = rounded_format(scheme, matrix)
        if format is None:
            table = self.table("normal", None)
            return [self.tensor(f"{matrix.module}.weight", table, matrix.shape)]
        group = scheme.group_of(format, matrix.shape[1], matrix.module)
        made = []
        for suffix, like in encoded_like(format, matrix.shape, group).items():
            name, shape = f"{matrix.module}.{suffix}", tuple(like.shape)
            if suffix == "weight_shape":
                make = partial(torch.tensor, matrix.shape)
                made.append(TensorToWrite.of(name, make, like))
            else:
                kind = "scales" if suffix == "weight_scale" else "codes"
                made.append(self.tensor(name, self.table(kind, format), shape, like.dtype))
        return made

    def table(self, kind: str, format: Format | None) -> Table:
        key = f"{kind} {format}"
        if key not in self.tables:
            if format is None:
                self.tables[key] = normal(DEVIATION)
            else:
                self.tables[key] = codes(format) if kind == "codes" else scales(format, DEVIATION)
        return self.tables[key]

    def tensor(
        self,
        name: str,
        table: Table,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.bfloat16,
    ) -> TensorToWrite:
        count = prod(shape) * dtype.itemsize // table.entries.itemsize

        def pieces() -> Iterator[memoryview]:
            return table.draw(count, name, seed=self.seed)

        return TensorToWrite(name, dtype, shape, pieces)

    def kept(self, name: str, shape: tuple[int, ...], config: ModelConfig) -> TensorToWrite:
        released = released_name(name)
        if name.endswith("_scalar"):
            ones = torch.ones(shape, dtype=torch.bfloat16)
            return TensorToWrite(released, ones.dtype, shape, lambda: [raw_bytes(ones)])
        if name.endswith("router.proj.weight"):
            return self.tensor(released, self.table("normal", None), shape)
        return self.tensor(released, lognormal(size_of(name, shape, config), NORMS), shape)


def size_of(name: str, shape: tuple[int, ...], config: ModelConfig) -> float:
    """The median of a norm or scale: 1, but where it decides how far scores and logits spread."""
    if name == "norm.weight":
        return LOGITS / (DEVIATION * sqrt(config.hidden_size))
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return sqrt(SCORES / sqrt(shape[0]))
    if name.endswith("router.scale"):
        return ROUTING / DEVIATION
    return 1.0
