"""The K/V of a prefix in pages of one canvas: written once, read in place, shared by forks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from canvaslm.cache.pieces import Piece, cut
from canvaslm.cache.quantise import quantised, widened
from canvaslm.errors import OutOfMemoryError, ParameterError
from canvaslm.kernels.ops import AttentionOperations, QuantisedKV, Segment
from canvaslm.model.config import LayerConfig, ModelConfig

if TYPE_CHECKING:
    from canvaslm.cache.known import Known

# G kv heads, P tokens of a page, n tokens, d head

PAGE_SIZE = 256


@dataclass(eq=False)
class Page:
    """K and V [G, P, d] of one layer, scales [G, P] if int8, and how many hold them: prefixes, and
    the nodes of known prompts. The first `filled` tokens have been written, for one of them."""

    keys: Tensor
    values: Tensor
    holders: int = 1
    filled: int = 0
    scales: tuple[Tensor, Tensor] | None = None

    def segment(self, low: int, high: int) -> Segment:
        """Its tokens from `low` to `high`, as views."""
        keys, values = self.keys[:, low:high], self.values[:, low:high]
        if self.scales is None:
            return keys, values
        return QuantisedKV(keys, values, *(scale[:, low:high] for scale in self.scales))


class Pool:
    """Where pages come from and go back to; `in_use` counts those that anybody holds.

    At most `limit` are (None: as many as are asked for); to stay below it pages of known prompts
    are given up. `known` is what prompts have in common, None: each is encoded from its start.
    `breaks` are ids behind which a prompt is cut: see `canvaslm.cache.pieces`.

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
        limit: int | None = None,
        breaks: frozenset[int] = frozenset(),
    ) -> None:
        if page_size < 1:
            raise ParameterError(f"page_size must be at least 1 token, got {page_size!r}")
        if limit is not None and limit < 1:
            raise ParameterError(f"limit must be at least 1 page or None, got {limit!r}")
        if quantised and attention is None:
            raise ParameterError("quantised pages need attention operations that read int8")
        self.config, self.page_size = config, page_size
        self.attention, self.quantised = attention, quantised
        self.device, self.dtype = torch.device(device), dtype
        self.score_bounds = score_bounds or [math.inf] * len(config.layers)
        self.limit, self.breaks = limit, breaks
        self.known: Known | None = None
        self.in_use = 0
        self._idle: dict[tuple[int, int], list[Page]] = {}

    @property
    def page_bytes(self) -> float:
        """Memory of a page, the mean over the layers."""
        size = 1 if self.quantised else self.dtype.itemsize
        tokens = [
            2 * g.kv_heads * (g.head_dim * size + 4 * self.quantised) for g in self.config.layers
        ]
        return self.page_size * sum(tokens) / len(tokens)

    def has_room(self, pages: int) -> bool:
        """Whether so many can still be taken, known prompts given up for them."""
        if self.limit is None:
            return True
        missing = pages - max(self.limit - self.in_use, 0)
        return missing <= 0 or (self.known is not None and self.known.has_spare(missing))

    def cut(self, ids: Sequence[int], *, at: int = 0) -> Iterator[Piece]:
        """The pieces in which `ids` are encoded, from position `at` on."""
        return cut(ids, at=at, size=self.page_size, breaks=self.breaks)

    def take(self, layer: LayerConfig) -> Page:
        """A page of this layer's geometry, its contents arbitrary.

        Raises OutOfMemoryError where `limit` pages are held, and none by known prompts alone.
        """
        self._make_room()
        self.in_use += 1
        idle = self._idle.get((layer.kv_heads, layer.head_dim))
        if idle:
            page = idle.pop()
            page.holders, page.filled = 1, 0
            return page
        shape = (layer.kv_heads, self.page_size, layer.head_dim)
        with torch.inference_mode(False):  # so that a page may be written in either mode later
            kind = torch.int8 if self.quantised else self.dtype
            keys, values = torch.empty((2, *shape), device=self.device, dtype=kind)
            if not self.quantised:
                return Page(keys, values)
            key_scale, value_scale = torch.empty((2, *shape[:2]), device=self.device)
        return Page(keys, values, scales=(key_scale, value_scale))

    def _make_room(self) -> None:
        while self.limit is not None and self.in_use >= self.limit:
            if self.known is None or not self.known.evict():
                raise OutOfMemoryError(
                    f"all {self.limit} pages of {self.page_size} tokens that the K/V memory may "
                    "have are in use by running requests: raise the limit of pages, run fewer "
                    "requests at a time, or shorten the prompts"
                )

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

    @classmethod
    def over(cls, pool: Pool, pages: Mapping[int, Sequence[Page | None]], length: int) -> Prefix:
        """A prefix of `length` tokens over pages that others hold: `pages[number][layer]`."""
        prefix = cls(pool)
        prefix.length = length
        for layer, run in enumerate(prefix._runs):
            run.first = prefix.reach(layer) // pool.page_size
            for number in range(run.first, -(-length // pool.page_size)):
                page = pages[number][layer]
                assert page is not None, "a page in reach is missing"
                page.holders += 1
                run.pages.append(page)
        return prefix

    @property
    def ends(self) -> tuple[Page | None, ...]:
        """For each layer the page of the last token; None where what comes next cannot see it."""
        number = (self.length - 1) // self.pool.page_size
        return tuple(
            run.pages[number - run.first] if 0 <= number - run.first < len(run.pages) else None
            for run in self._runs
        )

    def needs(self, count: int) -> int:
        """How many pages writing `count` tokens more takes."""
        size = self.pool.page_size
        number, offset = divmod(self.length, size)
        needed = 0
        for run in self._runs:
            needed += -(-(self.length + count) // size) - run.first - len(run.pages)
            if number - run.first < len(run.pages):
                needed += must_copy(run.pages[number - run.first], offset)
        return needed

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
            page = self._writable(layer, run, number - run.first, offset)
            page.filled = offset + count
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
        """A prefix that goes on from here on its own; pages are shared, and copied when needed."""
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

    def _writable(self, layer: int, run: Run, place: int, offset: int) -> Page:
        """The page at `place`: taken if it is new, copied if another has written from `offset` on.

        What others have not written they do not read, so behind that a shared page may grow.
        """
        if place == len(run.pages):
            run.pages.append(self.pool.take(self.pool.config.layers[layer]))
        page = run.pages[place]
        if must_copy(page, offset):
            own = self.pool.take(self.pool.config.layers[layer])
            there, here = (tensors_of(one.segment(0, offset)) for one in (own, page))
            for to, tensor in zip(there, here, strict=True):
                to.copy_(tensor)
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


def must_copy(page: Page, offset: int) -> bool:
    """Whether writing from `offset` on would change what another holder may read."""
    return page.holders > 1 and offset < page.filled


def tensors_of(segment: Segment) -> tuple[Tensor, ...]:
    """K, V, and the scales that there are."""
    if isinstance(segment, QuantisedKV):
        return segment.keys, segment.values, segment.key_scale, segment.value_scale
    return segment
