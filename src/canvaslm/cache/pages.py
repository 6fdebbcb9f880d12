"""The K/V of a prefix in pages of one canvas: written once, read in place, shared by forks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import torch
from torch import Tensor

from canvaslm.cache.quantise import quantised, widened
from canvaslm.errors import ParameterError
from canvaslm.kernels.ops import AttentionOperations, QuantisedKV, Segment
from canvaslm.model.config import LayerConfig, ModelConfig

# G kv heads, P tokens of a page, n tokens, d head

PAGE_SIZE = 256


@dataclass(eq=False)
class Page:
    """K and V [G, P, d] of one layer, scales [G, P] if int8, and how many prefixes hold them."""

    keys: Tensor
    values: Tensor
    holders: int = 1
    scales: tuple[Tensor, Tensor] | None = None

    def segment(self, low: int, high: int) -> Segment:
        """Its tokens from `low` to `high`, as views."""
        keys, values = self.keys[:, low:high], self.values[:, low:high]
        if self.scales is None:
            return keys, values
        return QuantisedKV(keys, values, *(scale[:, low:high] for scale in self.scales))


class Pool:
    """Where pages come from and go back to; `in_use` counts those some prefix holds.

    `attention` computes what queries see in them, torch's own products if None. With it pages may
    be `quantised`: int8 with a scale for each token of each head; `dtype` is that of the queries.

    A page that nobody holds is kept for the next prefix of the same layer geometry, so a service
    allocates only at its peak. Pages belong to one network, on one device and in one dtype;
    `score_bounds` are what |q k| of its layers cannot exceed, where that is known.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        page_size: int = PAGE_SIZE,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        score_bounds: Sequence[float] | None = None,
        attention: AttentionOperations | None = None,
        quantised: bool = False,
    ) -> None:
        if page_size < 1:
            raise ParameterError(f"page_size must be at least 1 token, got {page_size!r}")
        if quantised and attention is None:
            raise ParameterError("quantised pages need attention operations that read int8")
        self.config, self.page_size = config, page_size
        self.attention, self.quantised = attention, quantised
        self.device, self.dtype = torch.device(device), dtype
        self.score_bounds = score_bounds or [math.inf] * len(config.layers)
        self.in_use = 0
        self._idle: dict[tuple[int, int], list[Page]] = {}

    def take(self, layer: LayerConfig) -> Page:
        """A page of this layer's geometry, its contents arbitrary."""
        self.in_use += 1
        idle = self._idle.get((layer.kv_heads, layer.head_dim))
        if idle:
            page = idle.pop()
            page.holders = 1
            return page
        shape = (layer.kv_heads, self.page_size, layer.head_dim)
        with torch.inference_mode(False):  # so that a page may be written in either mode later
            kind = torch.int8 if self.quantised else self.dtype
            keys, values = torch.empty((2, *shape), device=self.device, dtype=kind)
            if not self.quantised:
                return Page(keys, values)
            key_scale, value_scale = torch.empty((2, *shape[:2]), device=self.device)
        return Page(keys, values, scales=(key_scale, value_scale))

    def stored(self, keys: Tensor, values: Tensor) -> Segment:
        """K and V [G, n, d] as pages hold them."""
        return quantised(keys, values) if self.quantised else (keys, values)

    def drop(self, page: Page) -> None:
        """One holder less; the last one gives the page back."""
        page.holders -= 1
        if page.holders == 0:
            self.in_use -= 1
            kv_heads, _, head_dim = page.keys.shape
            self._idle.setdefault((kv_heads, head_dim), []).append(page)


@dataclass
class Run:
    """One layer's pages in order; `first` is the number of the oldest page still kept."""

    first: int = 0
    pages: list[Page] = field(default_factory=list)


class Prefix:
    """What a sequence has said so far, as K/V: `length` tokens, readable layer by layer.

    A causal pass writes every layer at the end and then calls `advance`; a denoising pass only
    reads. Sliding layers keep just the pages their window can still reach. Use it as a context
    manager, or call `free`, to give the pages back.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool, self.length = pool, 0
        self._runs = [Run() for _ in pool.config.layers]

    def segments(self, layer: int) -> list[tuple[Tensor, Tensor]]:
        """K and V [G, n, d] of the tokens that what comes next may see, oldest first.

        All of them on a full layer, the last window - 1 on a sliding one. Views; of quantised pages
        what their numbers stand for.
        """
        return [widened(piece, self.pool.dtype) for piece in self.pieces(layer)]

    def pieces(self, layer: int) -> list[Segment]:
        """The same as views always, in the type of the pages."""
        size, run = self.pool.page_size, self._runs[layer]
        start = self.reach(layer)
        views = []
        for number, page in enumerate(run.pages, start=run.first):
            low, high = max(start - number * size, 0), min(self.length - number * size, size)
            if low < high:
                views.append(page.segment(low, high))
        return views

    def reach(self, layer: int) -> int:
        """Position of the oldest token that what comes next may see."""
        window = self.pool.config.layers[layer].window
        return 0 if window is None else max(self.length - window + 1, 0)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put K and V [G, n, d] of n tokens after the prefix; `advance` then makes them count."""
        self.put(layer, self.pool.stored(keys, values))

    def put(self, layer: int, segment: Segment) -> None:
        """`write` what `Pool.stored` has made of K and V."""
        size, run, tensors = self.pool.page_size, self._runs[layer], tensors_of(segment)
        done, total = 0, tensors[0].shape[1]
        while done < total:
            number, offset = divmod(self.length + done, size)
            count = min(size - offset, total - done)
            page = self._writable(layer, run, number - run.first)
            place = tensors_of(page.segment(offset, offset + count))
            for there, tensor in zip(place, tensors, strict=True):
                there.copy_(tensor[:, done : done + count])
            done += count

    def advance(self, count: int) -> None:
        """Count the `count` tokens every layer has just written; drop pages out of every window."""
        self.length += count
        for layer, run in enumerate(self._runs):
            oldest = self.reach(layer) // self.pool.page_size
            while run.first < oldest and run.pages:
                self.pool.drop(run.pages.pop(0))
                run.first += 1

    def fork(self) -> Prefix:
        """A prefix that goes on from here on its own; full pages are shared, not copied."""
        other = Prefix(self.pool)
        other.length = self.length
        other._runs = [Run(run.first, list(run.pages)) for run in self._runs]
        for run in other._runs:
            for page in run.pages:
                page.holders += 1
        return other

    def free(self) -> None:
        """Give every page back and become empty. Freeing twice does nothing."""
        for run in self._runs:
            for page in run.pages:
                self.pool.drop(page)
        self._runs = [Run() for _ in self._runs]
        self.length = 0

    def _writable(self, layer: int, run: Run, place: int) -> Page:
        """The page at `place`, taken if it is new, copied first if a fork still reads it."""
        if place == len(run.pages):
            run.pages.append(self.pool.take(self.pool.config.layers[layer]))
        page = run.pages[place]
        if page.holders > 1:
            own = self.pool.take(self.pool.config.layers[layer])
            whole = page.segment(0, self.pool.page_size)
            for there, tensor in zip(
                tensors_of(own.segment(0, self.pool.page_size)), tensors_of(whole), strict=True
            ):
                there.copy_(tensor)
            self.pool.drop(page)
            run.pages[place] = page = own
        return page

    def __enter__(self) -> Prefix:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.free()


def tensors_of(segment: Segment) -> tuple[Tensor, ...]:
    """K, V, and the scales that there are."""
    if isinstance(segment, QuantisedKV):
        return segment.keys, segment.values, segment.key_scale, segment.value_scale
    return segment
