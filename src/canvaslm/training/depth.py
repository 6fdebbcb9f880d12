"""What a step of a deep network holds, told from networks of its first and last layer and one more.

Layers of one kind keep the same, so every sum grows by the same with each of them, and so does the
most that is held while the first layer runs, or the last. While one between them runs, some of the
others have run and some have not: the most is at the one end, where none has, or at the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canvaslm.model.config import LayerConfig
from canvaslm.training.rehearse import Kept

Rehearse = Callable[[tuple[LayerConfig, ...]], Kept]
"""What a step of a network of these layers holds."""


def told(layers: Sequence[LayerConfig], rehearse: Rehearse) -> Kept:
    """What `rehearse` says of `layers`, or as much, told from as few as there are kinds of them."""
    first, *between = layers
    last = between.pop() if between else first
    kinds = list(dict.fromkeys(between))
    if len(layers) <= 2 + 3 * len(kinds):  # as quick, and as it is
        return rehearse(tuple(layers))
    deep = Deep(
        base=rehearse((first, last)),
        more=[rehearse((first, kind, last)) for kind in kinds],
        counts=[between.count(kind) for kind in kinds],
    )
    return deep.kept()


@dataclass(frozen=True, kw_only=True)
class Deep:
    """`base` has no layer between, each of `more` one of a kind, of which there are `counts`."""

    base: Kept
    more: Sequence[Kept]
    counts: Sequence[int]

    def kept(self) -> Kept:
        more, base = self.more, self.base
        places = range(len(base.ends))
        return Kept(
            encoder=self.line(base.encoder, [one.encoder for one in more]),
            denoiser=self.line(base.denoiser, [one.denoiser for one in more]),
            heads=self.line(base.heads, [one.heads for one in more]),
            ends=tuple(self.line(base.ends[at], [one.ends[at] for one in more]) for at in places),
            between=tuple(map(self.between, places[:-1])),
        )

    def line(self, base: int, more: Sequence[int]) -> int:
        """What grows by the same with each layer of a kind."""
        found = zip(more, self.counts, strict=True)
        return base + sum(count * (one - base) for one, count in found)

    def between(self, at: int) -> int:
        """The most while any of the layers between runs, after `ends[at]`: in one that is the
        first of them, or the last."""
        found = []
        for one, made in enumerate(self.more):
            for end in (at, at + 1):
                others = self.line(self.base.ends[end], [each.ends[end] for each in self.more])
                found.append(made.between[at] + others - self.more[one].ends[end])
        return max(found)
