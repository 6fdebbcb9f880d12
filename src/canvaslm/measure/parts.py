"""How the seconds of a pass divide: by operation where the network has those, else by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor

from canvaslm.engine.lm import LM
from canvaslm.kernels.ops import Belief
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.timed import Timed
from canvaslm.kernels.weight import Format
from canvaslm.measure.work import ATTENTION, DENSE, EXPERTS, HEAD, ROWS, SOFT, Formats
from canvaslm.model.native import Native
from canvaslm.model.network import FusedHead, Network
from canvaslm.model.transformer import Attend

NETWORK = "layers"
KINDS: Mapping[torch.dtype, Kind] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
PART_OF = {
    "experts": EXPERTS,
    "linear": DENSE,
    "attend": ATTENTION,
    "believe": HEAD,
    "logits": HEAD,
    "soften": SOFT,
}
"""The part that an operation of `kernels.ops` belongs to; all others lie between products."""


class Watched:
    """A copy of a model whose passes are timed part by part."""

    def __init__(self, lm: LM) -> None:
        self.lm = copy(lm)
        network = lm.network
        self.timed: Timed | Clocked
        if isinstance(network, Native):
            self.timed = Timed(network.operations)
            self.lm.network = Native(
                network.config,
                network.weights,
                self.timed.operations,
                activations=network.activations,
            )
            self.lm.pool = copy(lm.pool)
            if self.lm.pool.attention is not None:
                self.lm.pool.attention = self.timed.operations
        else:
            self.timed = Clocked(network)
            self.lm.network = self.timed

    def reset(self) -> None:
        """Forget what was timed so far."""
        self.timed.clear()

    def seconds(self) -> dict[str, float]:
        """By part, since the last `reset`."""
        if isinstance(self.timed, Clocked):
            return dict(self.timed.seconds)
        return by_part(self.timed.seconds)


def formats_of(lm: LM) -> Formats:
    """What the weights and the K/V of a model are stored as."""
    network = lm.network
    cache: Kind = "int8" if lm.pool.quantised else KINDS[lm.pool.dtype]
    if not isinstance(network, Native):
        own: Format = KINDS[network.embedding.dtype]
        return Formats(experts=own, dense=own, embedding=own, cache=cache)
    weights = network.weights
    layer, dense = weights.layers[0], weights.layers[0].o.format
    experts = layer.mixture.gate[0].format if layer.mixture else dense
    return Formats(experts=experts, dense=dense, embedding=weights.embedding.format, cache=cache)


def by_part(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds by operation name to seconds by part."""
    parts: dict[str, float] = {}
    for name, spent in seconds.items():
        part = PART_OF.get(name, ROWS)
        parts[part] = parts.get(part, 0.0) + spent
    return parts


class Clocked:
    """A network whose stages are timed: layers, vocabulary head, soft embedding."""

    def __init__(self, network: Network, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.network, self.config, self.clock = network, network.config, clock
        self.clear()

    def clear(self) -> None:
        self.seconds: dict[str, float] = {}

    @property
    def embedding(self) -> Tensor:
        return self.network.embedding

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def writer(self) -> object:
        return self.network.writer

    @property
    def rows_stand_alone(self) -> bool:
        return self.network.rows_stand_alone

    @property
    def head(self) -> FusedHead | None:
        return None if self.network.head is None else ClockedHead(self, self.network.head)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        begun = self.clock()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + self.clock() - begun

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        with self.timed(NETWORK):
            return self.network.encode(ids_BN, positions_BN, attend)

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        with self.timed(NETWORK):
            return self.network.denoise(ids_BL, soft_BLD, positions_BL, attend)

    def unembed(self, h_BND: Tensor) -> Tensor:
        with self.timed(HEAD):
            return self.network.unembed(h_BND)

    def blend(self, p_BLV: Tensor) -> Tensor:
        with self.timed(SOFT):
            return self.network.blend(p_BLV)


class ClockedHead:
    """The fused head of a `Clocked` network."""

    def __init__(self, owner: Clocked, head: FusedHead) -> None:
        self.owner, self.head = owner, head

    @property
    def vocab_size(self) -> int:
        return self.head.vocab_size

    def believe(self, hidden_BLD: Tensor, **options: Any) -> Belief:
        with self.owner.timed(HEAD):
            return self.head.believe(hidden_BLD, **options)

    def soften(self, belief: Belief, rows: Sequence[int]) -> Tensor:
        with self.owner.timed(SOFT):
            return self.head.soften(belief, rows)
