"""A network that many requests share: whoever asks it for a pass waits in line for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from canvaslm.cache.attend import Causal
from canvaslm.model.config import ModelConfig
from canvaslm.model.network import FusedHead, Network
from canvaslm.model.transformer import Attend

# B rows, N tokens, L canvas, D hidden, V vocabulary


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """A pass of `network` that a request waits for. Asks of one `shape`, of the same network, can
    be one pass."""

    network: Network
    kind: Literal["encode", "denoise"]
    ids_BN: Tensor
    positions_BN: Tensor
    attend: Attend
    soft_BND: Tensor | None = None

    @property
    def shape(self) -> tuple[str, int, bool]:
        return self.kind, self.ids_BN.shape[1], self.soft_BND is None

    def goes_with(self, other: Ask) -> bool:
        """Whether the two can be one pass."""
        return self.network is other.network and self.shape == other.shape

    @property
    def rows(self) -> int:
        return len(self.ids_BN)

    @property
    def pages(self) -> int:
        """Pages that the pass will take."""
        if not isinstance(self.attend, Causal):
            return 0
        return sum(prefix.needs(self.ids_BN.shape[1]) for prefix in self.attend.prefixes)

    @property
    def tokens(self) -> int:
        return self.ids_BN.numel()


class Line:
    """A `Network` for the code of a request: `wait` comes back with an ask's hidden states.

    What takes no pass (the head, embeddings) is the network's own.
    """

    def __init__(self, network: Network, wait: Callable[[Ask], Tensor]) -> None:
        self.network, self.wait = network, wait
        self.config: ModelConfig = network.config

    @property
    def embedding(self) -> Tensor:
        return self.network.embedding

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def head(self) -> FusedHead | None:
        return self.network.head

    @property
    def writer(self) -> object:
        return self.network.writer

    @property
    def rows_stand_alone(self) -> bool:
        return self.network.rows_stand_alone

    def encode(self, ids_BN: Tensor, positions_BN: Tensor, attend: Attend) -> Tensor:
        return self.wait(
            Ask(
                network=self.network,
                kind="encode",
                ids_BN=ids_BN,
                positions_BN=positions_BN,
                attend=attend,
            )
        )

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: Attend
    ) -> Tensor:
        return self.wait(
            Ask(
                network=self.network,
                kind="denoise",
                ids_BN=ids_BL,
                positions_BN=positions_BL,
                attend=attend,
                soft_BND=soft_BLD,
            )
        )

    def unembed(self, h_BND: Tensor) -> Tensor:
        return self.network.unembed(h_BND)

    def blend(self, p_BLV: Tensor) -> Tensor:
        return self.network.blend(p_BLV)


class Together:
    """Attention of several asks in one pass: to each its own rows."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.attends = [ask.attend for ask in asks]
        self.rows = [ask.rows for ask in asks]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = zip(
            self.attends, *(torch.split(tensor, self.rows) for tensor in (q, k, v)), strict=True
        )
        return torch.cat([attend(layer, *own) for attend, *own in parts])


def run(asks: Sequence[Ask]) -> Iterator[Tensor]:
    """One pass for asks that go together: the hidden states of each."""
    first, network = asks[0], asks[0].network
    ids_BN, positions_BN, attend, soft_BND = (
        first.ids_BN,
        first.positions_BN,
        first.attend,
        first.soft_BND,
    )
    if len(asks) > 1:
        ids_BN = torch.cat([ask.ids_BN for ask in asks])
        positions_BN = torch.cat([ask.positions_BN for ask in asks])
        attend = Together(asks)
        if soft_BND is not None:
            soft_BND = torch.cat([ask.soft_BND for ask in asks if ask.soft_BND is not None])
    if first.kind == "encode":
        hidden_BND = network.encode(ids_BN, positions_BN, attend)
    else:
        hidden_BND = network.denoise(ids_BN, soft_BND, positions_BN, attend)
    return iter(torch.split(hidden_BND, [ask.rows for ask in asks]))
