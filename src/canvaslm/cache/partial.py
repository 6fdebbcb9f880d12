"""A canvas of which only some positions are computed: the others' K/V are those of before."""

from __future__ import annotations

from torch import Tensor

from canvaslm.cache.attend import Bidirectional

# G kv heads, L canvas, R positions computed, d head


class Partial:
    """What `inner` lets queries see, over canvas K/V that are kept from pass to pass.

    Before each pass set `places`, the positions [R] it computes, or None for all of them, which the
    first pass must be.
    """

    def __init__(self, inner: Bidirectional) -> None:
        self.inner = inner
        self.places: Tensor | None = None
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.places is None:
            self._kept[layer] = k.clone(), v.clone()
        else:
            for kept_BGLd, new_BGRd in zip(self._kept[layer], (k, v), strict=True):
                kept_BGLd.index_copy_(2, self.places, new_BGRd)
        return self.inner(layer, q, *self._kept[layer])
